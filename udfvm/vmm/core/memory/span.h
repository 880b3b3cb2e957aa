/* Guest memory that the host writes.
 *
 * The rule: whoever makes guest-visible memory writable on the host, that memory counts as written
 * until it was put back. KVM's dirty log sees nothing of what the host writes, so the host must
 * know it by itself: not what was written, which an error, a signal or an application that keeps a
 * pointer makes uncertain, but what could have been. So pointers to guest memory point to const
 * everywhere, and -Wcast-qual keeps them so. Who writes asks here for a pointer, and the bytes it
 * asks for count as written from that moment on:
 *
 *   a request, in place    udfvm_vm_input() of api.h: so many bytes of the input window. Ask for
 * more while you write, if you know no better. What is sent then is at most what was asked for, and
 * every byte of it must have been written. Whatever came of it (a call, an error, nothing), what is
 * past the next request is zeroed before the guest is entered. a request, copied udfvm_vm_call()
 * and the like do that. a reply, lent          udfvm_vm_borrow() of api.h: a part of the reply, for
 * as long as the embedder keeps the VM. Put back by the restore. at a guest address
 * udfvm_span_at(), for hypercalls and streaming calls: joins the hot set, or lies in the unlogged
 * area. Put back by the restore. the call page          udfvm_span_call_page(): written anew for
 * every call. before the first entry udfvm_machine_load().
 *
 * Putting back is done here too: hot_set.c and unlogged.c say which pages.
 */
#ifndef UDFVM_SPAN_H
#define UDFVM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udfvm_call;
struct udfvm_error;
struct udfvm_vm;
struct machine;

/* What a VM's host made writable and has not put back, but for what is in the hot set or the wide
 * area. */
struct spans {
    uint64_t input; /* bytes of the input payload, from its start, that may hold something */
    uint64_t sent;  /* of these, those that were part of a request; the others may never have been
                       touched */
    uint64_t asked; /* bytes asked for since the last request was sent, or the VM restored */
    uint64_t borrowed_from, borrowed_to; /* of the output window; equal: nothing */
};

/* ---- Writing ---- */

/* Memory at a guest virtual address that ring 3 can write too (RAM, output window), to write up to
 * `length` bytes: 0 with *at; -EFAULT where there is none; -ENOMEM. */
int udfvm_span_at(struct udfvm_vm *vm, uint64_t address, uint64_t length, void **at);
struct udfvm_call *udfvm_span_call_page(const struct udfvm_vm *vm);
/* The request of `length` bytes goes to the guest: copied from `input`, or (NULL, or
 * udfvm_vm_input() itself) written in place. Nothing else that may be in the window is left there.
 */
int udfvm_span_send(struct udfvm_vm *vm, const void *input, uint64_t length,
                    struct udfvm_error *error);
/* ---- Putting back ---- */

/* Pages of the logged slot, which lie one after the other there and in the image; `pristine` NULL:
 * zeros. */
void udfvm_span_put_back(const struct machine *machine, uint64_t number, const uint8_t *pristine,
                         uint64_t pages);
/* A page of the unlogged area. */
void udfvm_span_zero_page(const uint8_t *page);
/* Reply and request of a call that ended; what lies in the hot set is left to it. */
void udfvm_span_end_call(struct udfvm_vm *vm);
/* Gives the memory of the input window back, of a VM that is restored. */
int udfvm_span_drop_input(struct udfvm_vm *vm, struct udfvm_error *error);
#endif
