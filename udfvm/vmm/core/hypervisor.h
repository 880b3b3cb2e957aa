/* What a hypervisor must offer: virtual machines with one processor each.
 *
 * The folder kvm/ offers it on Linux's /dev/kvm, and nothing else in the core knows KVM. Another
 * hypervisor, such as Hyper-V's /dev/mshv, gets a folder beside it that defines struct hypervisor
 * and the functions below. The core relies on this:
 *
 *   Memory     Slots map guest-physical ranges to memory of this process and never change while the
 *              VM lives; some may be added. A read-only slot cannot be written at any privilege
 *              level of the guest. In a logged slot the hypervisor notes each page that the guest
 *              wrote, until the note is cleared; what the host writes is not noted.
 *   Processor  It begins in 64-bit mode at ring 3, with the tables of struct processor_setup, CPUID
 *              and XCR0 as the host offers them, and the host's time stamp counter.
 *   Entries    General registers go in and come out through shared memory: no system call of their
 *              own. An entry ends at an OUT to the hypercall port, at a signal, or where the guest
 *              does what it must not.
 *   Signals    Every signal ends an entry, blocked by the thread or not, unless
 *              udfvm_hypervisor_block_signals says otherwise.
 */
#ifndef UDFVM_HYPERVISOR_H
#define UDFVM_HYPERVISOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udfvm_error;
struct hypervisor; /* one VM; each implementation defines it */

/* General registers. They are part of the image format: their order stays. */
struct registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

/* Guest-physical memory; `host` and the sizes are multiples of a page. */
struct memory_slot {
    uint32_t number;
    bool read_only, logged;
    uint64_t physical, bytes;
    const uint8_t *host;
};
#define MAX_MEMORY_SLOTS 7u

/* What ring 3 finds of the processor, and where it enters ring 0. */
struct processor_setup {
    uint64_t page_tables; /* physical address of the first */
    struct descriptor_table {
        uint64_t base;
        uint16_t limit;
    } gdt, idt, task;
    uint16_t code_selector, data_selector, task_selector;
    uint64_t star, system_call_entry, flags_mask; /* STAR, LSTAR, SFMASK */
};

/* How an entry ended. */
enum hypervisor_exit {
    EXIT_HYPERCALL,   /* an OUT of one byte to the hypercall port */
    EXIT_INTERRUPTED, /* a signal, or udfvm_hypervisor_stop; between two instructions */
    EXIT_UNEXPECTED,  /* anything else that the guest can do: the VM must not run again */
    EXIT_FAILED,      /* the system call failed: errno */
};

/* ---- Life ---- */

/* Asks the hypervisor what the first VM of a process needs to know: beside its creation, on another
 * thread. */
void udfvm_hypervisor_ask(void);
int udfvm_hypervisor_create(struct hypervisor **created, const struct memory_slot *slots,
                            size_t count, const struct processor_setup *setup,
                            struct udfvm_error *error);
/* Closes the VM and makes a new one on the same slots: whatever the processor had pending is gone,
 * and so is what was logged. On failure there is none, and it can be tried again. */
int udfvm_hypervisor_renew(struct hypervisor *hypervisor, struct udfvm_error *error);
void udfvm_hypervisor_destroy(struct hypervisor *hypervisor); /* NULL is allowed */
/* One slot more, where nothing was. */
int udfvm_hypervisor_add_slot(struct hypervisor *hypervisor, const struct memory_slot *slot,
                              struct udfvm_error *error);
/* In a forked child, which has not the memory that is shared with the hypervisor. */
void udfvm_hypervisor_forget_memory(struct hypervisor *hypervisor);

/* For a process that will have no file system: what is opened by its name is opened now, and kept.
 */
int udfvm_hypervisor_keep_device(struct udfvm_error *error);
/* All requests of ioctl(2) that the functions here make, for a filter of system calls. */
const uint32_t *udfvm_hypervisor_requests(size_t *count);
/* Of these, what entering the guest takes: udfvm_hypervisor_run and _block_signals. */
const uint32_t *udfvm_hypervisor_entry_requests(size_t *count);

/* ---- Running ---- */

/* As they were at the last exit. Good until the VM is renewed or destroyed. */
struct registers *udfvm_hypervisor_registers(const struct hypervisor *hypervisor);
/* The next entry begins with what stands in the registers. */
void udfvm_hypervisor_load_registers(struct hypervisor *hypervisor);
enum hypervisor_exit udfvm_hypervisor_run(struct hypervisor *hypervisor);
/* Says in `error` what the last exit was, EXIT_UNEXPECTED or (errno being that of it) EXIT_FAILED;
 * returns the code. */
int udfvm_hypervisor_fail_exit(const struct hypervisor *hypervisor, enum hypervisor_exit last,
                               struct udfvm_error *error);
/* The last entry was refused for the processor's state: the guest did not run at all. */
bool udfvm_hypervisor_refused_entry(const struct hypervisor *hypervisor);
/* From any thread: entries end at once with EXIT_INTERRUPTED, until they are allowed again. One
 * that goes on needs a signal besides. */
void udfvm_hypervisor_stop(struct hypervisor *hypervisor);
void udfvm_hypervisor_allow(struct hypervisor *hypervisor);
/* These signals do not end entries; NULL: all do. */
int udfvm_hypervisor_block_signals(const struct hypervisor *hypervisor, const sigset_t *blocked,
                                   struct udfvm_error *error);

/* ---- The processor ---- */

/* At the last exit something was left to be delivered: an exception, an interrupt, or a shadow in
 * which interrupts wait. */
bool udfvm_hypervisor_events_left(const struct hypervisor *hypervisor);
/* Where `syscall` leads from the next reset on: processor_setup.system_call_entry. */
void udfvm_hypervisor_lead_calls(struct hypervisor *hypervisor, uint64_t system_call_entry);
/* Everything but general registers, vector state and segment bases is as at the beginning: for a
 * processor that stopped anywhere. */
int udfvm_hypervisor_reset(struct hypervisor *hypervisor, struct udfvm_error *error);
/* Thousands of ticks of its time stamp counter in a second; 0 with `error` where that is not told.
 */
uint32_t udfvm_hypervisor_tsc_khz(const struct hypervisor *hypervisor, struct udfvm_error *error);

/* ---- Dirty pages of a logged slot, as a bitmap ---- */

int udfvm_hypervisor_dirty_pages(const struct hypervisor *hypervisor, uint32_t slot,
                                 uint64_t *bitmap, struct udfvm_error *error);
/* The pages in the bitmap count as not written from now on. */
int udfvm_hypervisor_clear_dirty(const struct hypervisor *hypervisor, uint32_t slot, uint64_t pages,
                                 uint64_t *bitmap, struct udfvm_error *error);

#endif
