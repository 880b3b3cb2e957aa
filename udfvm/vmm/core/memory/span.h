/* Guest memory that the host writes.
 *
 * The rule: what the host made writable counts as written until it was put back. KVM's dirty log
 * does not show what the host writes, so the host keeps account of it: not of what was written,
 * which an error, a signal or an application that keeps a pointer makes uncertain, but of what
 * could have been. Pointers to guest memory therefore point to const, and -Wcast-qual keeps them
 * so. Code that writes asks here for a pointer, and the bytes count as written from that moment:
 *
 * - A request in place: udfvm_span_input(), some bytes of the input window. A writer that knows no
 *   better asks for more while it writes. At most what was asked for may be sent, and every byte of
 *   that must have been written. Whatever became of it (a call, an error, nothing), what lies
 *   behind the next request is zeroed before the guest is entered.
 * - A request that is copied: udfvm_span_send() does that.
 * - A borrowed reply: udfvm_span_borrow(), for as long as the embedder keeps the VM. The restore
 *   puts it back.
 * - At a guest address: udfvm_span_at(), udfvm_span_piece() and udfvm_span_write(), for hypercalls
 *   and streaming calls. The bytes join the hot set, or lie in unlogged memory. The restore puts
 *   them back.
 * - The call page: udfvm_span_call_page(). It is written anew for every call.
 *
 * Before the first entry udfvm_machine_load() writes. hot_set.c and unlogged.c say which pages are
 * put back; the writing itself is done here too.
 */
#ifndef UDFVM_MEMORY_SPAN_H
#define UDFVM_MEMORY_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory;
struct machine;
struct udfvm_call;
struct udfvm_error;

/* What the host made writable and has not put back, but for what is in the hot set or in unlogged
 * memory. */
struct spans {
    uint64_t input; /* bytes of the input payload, from its start, that may hold something */
    uint64_t sent;  /* of these, those that were part of a request; the others may never have been
                       touched */
    uint64_t asked; /* bytes asked for since the last request was sent, or the VM restored */
    uint64_t borrowed_from, borrowed_to; /* of the output window; equal: nothing */
    bool inherited;                      /* forked children inherit the output window */
};

/* ---- Writing ---- */

/* Bytes of the largest request. */
uint64_t udfvm_span_input_capacity(const struct guest_memory *memory);
/* `size` bytes of the input window; NULL where it is smaller. */
void *udfvm_span_input(struct guest_memory *memory, uint64_t size, struct udfvm_error *error);
/* The request of `length` bytes goes to the guest: copied from `input`, or, where that is NULL or
 * the window itself, as it was written in place. Nothing else that may be in the window is left
 * there. */
int udfvm_span_send(struct guest_memory *memory, const void *input, uint64_t length,
                    struct udfvm_error *error);
/* A request of `length` bytes was written to a shared input window by the other process, which
 * keeps account of it: there is nothing behind it. */
void udfvm_span_written(struct guest_memory *memory, uint64_t length);
/* A part of the output window; NULL on failure. */
void *udfvm_span_borrow(struct guest_memory *memory, uint64_t begin, uint64_t length,
                        struct udfvm_error *error);
/* The output window, for who keeps account of what is written to it. */
uint8_t *udfvm_span_output(const struct guest_memory *memory, uint64_t begin);
/* Memory at a guest virtual address that ring 3 can write too (RAM, output window), to write up to
 * `length` bytes: 0 with *to; -EFAULT where there is none; -ENOMEM. */
int udfvm_span_at(struct guest_memory *memory, uint64_t address, uint64_t length, void **to);
/* The same, of as much as lies in one piece: `length` becomes less then. */
int udfvm_span_piece(struct guest_memory *memory, uint64_t address, uint64_t *length, void **to);
/* Writes there what may lie in pieces. */
int udfvm_span_write(struct guest_memory *memory, uint64_t address, const void *from,
                     uint64_t length);
struct udfvm_call *udfvm_span_call_page(const struct guest_memory *memory);
/* Gives it its huge page, which takes a while: nothing of a new VM's was written yet. */
void udfvm_span_touch_call_page(const struct guest_memory *memory);

/* ---- Putting back ---- */

/* Pages of the logged slot, neighbours there and in the image; `pristine` NULL: zeros. */
void udfvm_span_put_back(const struct machine *machine, uint64_t number, const uint8_t *pristine,
                         uint64_t pages);
/* A page of unlogged memory. */
void udfvm_span_zero_page(const uint8_t *page);
/* Forked children do not inherit the output window any more. */
int udfvm_span_end_inheritance(struct guest_memory *memory, struct udfvm_error *error);
/* Reply and request of a call that ended; what lies in the hot set is left to it. */
void udfvm_span_end_call(struct guest_memory *memory);
/* Gives the memory of the input window back, of a VM that is restored. */
int udfvm_span_drop_input(struct guest_memory *memory, struct udfvm_error *error);

#endif
