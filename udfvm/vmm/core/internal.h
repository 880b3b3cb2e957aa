/* Shared by the folders image, memory, call and pool: struct udfvm_vm and what they offer each
 * other. What is below a VM has headers of its own: base/, hypervisor.h, machine/machine.h. */
#ifndef UDFVM_INTERNAL_H
#define UDFVM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "udfvm_abi.h"
#include "api.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"
#include "base/process.h"
#include "machine/machine.h"
#include "memory/span.h"

#define MAX_FILES 256

/* ---- checksum.c ---- */
struct checksum {
    uint64_t lanes[4];
};
void udfvm_checksum_start(struct checksum *sum);
void udfvm_checksum_add(struct checksum *sum, const void *data,
                        size_t length); /* zero-padded to a multiple of 32 bytes */
void udfvm_checksum_digest(const struct checksum *sum, uint8_t digest[32]);

/* ---- deadline.c ---- */
#define UDFVM_WATCH_NS 50000000u
enum {
    DEADLINE_NONE,
    DEADLINE_RUNS,
    DEADLINE_KICKED,
    DEADLINE_HELD
}; /* held: by the watchdog, which changes it */
/* `looks` asks for a look at the vCPU's thread every UDFVM_WATCH_NS, ahead of the end; `due`: it is
 * time for one. */
struct deadline {
    struct hypervisor *hypervisor;
    atomic_uint state;
    atomic_bool expired, due;
    atomic_bool entered; /* the thread is in the guest, or about to be */
    bool looks;
    bool of_outer; /* its end is that of `outer` */
    pid_t thread;
    uint64_t end_ns;
    _Atomic uint64_t next_ns; /* when the watchdog must see to it */
    unsigned kicks;
    struct deadline
        *outer; /* of a call that waits for this one: a host function or a signal handler made it */
    unsigned generation; /* of the process in whose list it is */
    struct deadline *following, **link;
};
/* On the thread that runs the vCPU, and so is stop. The deadline ends with that of the call that
 * this one is part of, if that is sooner. */
int udfvm_deadline_start(struct deadline *deadline, struct hypervisor *hypervisor,
                         uint64_t timeout_ns, struct udfvm_error *error);
void udfvm_deadline_looked(struct deadline *deadline); /* the look was taken: the vCPU may run on */
void udfvm_deadline_stop(struct deadline *deadline);
bool udfvm_deadline_passed(const struct deadline *deadline);
uint64_t udfvm_deadline_of_thread(
    void); /* the end of the call that this thread is in the middle of; UDFVM_NEVER: of none */

/* ---- pool.c ---- */
void udfvm_pools_before_fork(void);
void udfvm_pools_in_parent(void);
void udfvm_pools_in_child(void);

/* ---- watchdog.c ---- */
#define UDFVM_KICK_SIGNAL (SIGRTMAX - 3)
void udfvm_deadline_register(struct deadline *deadline); /* once, before it is used; zeroed */
void udfvm_deadline_unregister(struct deadline *deadline);
uint64_t udfvm_watchdog_wakes_at(void);
int udfvm_watchdog_wake(uint64_t next_ns, struct udfvm_error *error);
void udfvm_watchdog_before_fork(void);
void udfvm_watchdog_in_parent(void);
void udfvm_watchdog_in_child(void);
/* Makes a thread leave the guest, whatever the program does with its signals. */
void udfvm_kick(pid_t thread);
/* After a run was interrupted: what its thread blocks would interrupt it for ever. Kicks are taken;
 * for others the vCPU does as the thread does until all signals are admitted again, then it returns
 * true. */
bool udfvm_signals_settle(const struct hypervisor *hypervisor);

/* ---- hot_set.c: the hot set ---- */
struct hot_page {
    uint32_t number;
    uint32_t idle;
    const uint8_t *pristine;
}; /* pristine NULL: zeros (output window) */
struct hot_set {
    uint64_t *dirty; /* bitmap as KVM returns it */
    uint64_t *bits;  /* members */
    uint64_t *cold;  /* pages that left the set and are memory of the VM's own still */
    size_t cold_count;
    size_t words;
    struct hot_page *pages;
    size_t count, capacity;
    bool sorted; /* `pages`, by number */
    uint64_t restores, pages_copied;
};
int udfvm_hot_set_create(struct hot_set *set, const struct machine *machine,
                         struct udfvm_error *error);
void udfvm_hot_set_destroy(struct hot_set *set);

/* Gives back the windows' and scratch's memory of a restored VM. */
int udfvm_vm_drop_buffers(struct udfvm_vm *vm, struct udfvm_error *error);
/* Gives back what a restored VM has beyond its hot set: what calls with much memory left, zeroed.
 * The next call with much pays for it. */
int udfvm_vm_shrink(struct udfvm_vm *vm, struct udfvm_error *error);

/* ---- worker.c: work on much memory, shared with a second thread ---- */
struct work {
    void (*chunk)(struct work *work, size_t index); /* does one chunk, on either thread */
    size_t chunks;                                  /* how many there are */
    size_t next; /* the first that nobody took; from here on all is worker.c's */
    atomic_size_t done;
    struct work *after;
};
void udfvm_work_offer(struct work *work);   /* the worker may begin; the work must stay where it is
                                               until it is finished or abandoned */
void udfvm_work_finish(struct work *work);  /* does what is left and waits for the rest */
void udfvm_work_abandon(struct work *work); /* as finish, without the chunks that nobody began */
void udfvm_worker_forget(void);             /* in a forked child, which has no worker */

/* ---- log.c: the program's standard output and error ---- */
struct udfvm_vm;
struct log {
    pthread_mutex_t lock; /* in a streaming call the vCPU's thread adds to it */
    char *text;
    atomic_size_t length;
    size_t capacity, given; /* given: bytes that the embedder has */
    struct udfvm_log_part *parts;
    size_t part_count, part_capacity;
    bool cut; /* the limit was reached: the rest is dropped */
};
void udfvm_log_create(struct log *log);
void udfvm_log_destroy(struct log *log);
void udfvm_log_clear(struct log *log);
int udfvm_log_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);
/* An exchange ended with `code`; `failed`: so the guest says. Gives what is new to the embedder, on
 * the caller's thread. Returns the code, or UDFVM_E_HOST_FUNCTION. */
int udfvm_log_give(struct udfvm_vm *vm, int code, bool failed, struct udfvm_error *error);

/* ---- unlogged.c: the output window past its logged part, and scratch ---- */
struct udfvm_vm;
#define MAX_EXTENTS 64
struct scrub { /* what is being zeroed */
    struct work work;
    struct extent {
        const uint8_t *from, *to;
    } spans[MAX_EXTENTS];
    size_t count;
    atomic_bool written; /* any of it was not zero */
    bool pending;
};
/* Makes it accessible to the guest, from now on. Returns 0, or -1 where there is none. */
int64_t udfvm_unlogged_open(struct udfvm_vm *vm);
/* Back to zeros, wherever the guest may have written: at once, or begun, where that is much. */
int udfvm_unlogged_scrub(struct udfvm_vm *vm, struct udfvm_error *error);
/* Done with that: must be called before the guest runs again. On failure the VM is broken. */
int udfvm_unlogged_settle(struct udfvm_vm *vm, struct udfvm_error *error);
/* Stops that, because the memory goes. */
void udfvm_unlogged_abandon(struct udfvm_vm *vm);
/* Gives its memory back, of a VM that is restored. */
int udfvm_unlogged_drop(struct udfvm_vm *vm, struct udfvm_error *error);

/* ---- vm.c ---- */
enum vm_state {
    VM_SEALED,   /* at its sealed state: a call may begin */
    VM_STOPPED,  /* stopped at a completed exchange: may be continued or restored */
    VM_BROKEN,   /* stopped elsewhere: only a restore with a processor reset helps */
    VM_UNSEALED, /* booted, never sealed */
};
struct udfvm_vm {
    struct machine machine;
    struct udfvm_config config;
    enum vm_state state;
    unsigned generation; /* of the process that opened it */
    bool large;          /* it has more memory than its hot set needs, since it was shrunk last */
    bool once;           /* its windows are for one call: a pool closes it when it is given back */
    struct udfvm_image *image; /* what it is bound to; NULL for a VM that was booted */
    struct hot_set hot;
    struct stream *stream; /* NULL: the VM is entered by calls */
    unsigned exchanges;    /* of this call that could have been streamed */
    uint64_t host_calls;   /* of this call */
    const struct udfvm_files *files;
    int64_t handles[MAX_FILES]; /* the embedder's, -1 where free */
    unsigned handles_open;
    struct udfvm_limits limits; /* of the running call */
    uint64_t max_reply; /* bytes from the window's start, a result left in scratch included */
    struct deadline deadline;
    bool signals_shut; /* the vCPU ignores signals that its thread blocked: see udfvm_signals_settle
                        */
    const struct udfvm_pool *pool; /* that it was taken from last, which may be gone; NULL: none */
    struct udfvm_vm *outer;        /* see udfvm_vm_out */
    uint64_t waited_ns;            /* for it; counts for the deadline of the call that comes */
    int (*watch)(void *context);   /* see udfvm_vm_set_watch; NULL: none */
    void *watch_context;
    uint32_t idle_spin_us; /* see udfvm_vm_set_idle_spin */
    uint64_t end_ns;       /* see udfvm_vm_set_end */
    struct log log;
    struct spans spans;    /* what the host made writable */
    uint64_t reply_length; /* of the last exchange */
    bool reply_shared;     /* forked children inherit the output window */
    struct scrub scrub;    /* of the unlogged area; see udfvm_unlogged_scrub */
    int pagemap;           /* /proc/self/pagemap, while the unlogged area is open; -1: none */
    uint64_t sequence;
    uint32_t tsc_khz;
    uint32_t process_id; /* the program's, in this call */
    uint8_t seeds[4096];
    size_t seeds_left;
    struct udfvm_seal_info *seal_info; /* after a seal hypercall */
    struct sealed_state *seal_state;
    uint64_t calls, exits;
    bool begun; /* this call has made a hypercall */
    bool unfit; /* the KVM VM must not run again; see processor.c */
};
/* Between the two the embedder's code runs on this thread, in the midst of the VM's call: it may
 * make calls, for which this VM is not free. */
void udfvm_vm_out(struct udfvm_vm *vm);
void udfvm_vm_in(struct udfvm_vm *vm);
unsigned udfvm_vms_out(const struct udfvm_pool *pool); /* how many of a pool's VMs are in use by
                                                          such calls of this thread */
/* In a forked child, which has neither memory nor registers of its parent's VMs: whatever runs code
 * of the embedder during a call asks afterwards. */
bool udfvm_vm_forked(const struct udfvm_vm *vm);
int udfvm_vm_fail_forked(struct udfvm_error *error); /* UDFVM_E_FORKED: in the middle of a call */
/* The pages of [offset, offset + length) in the logged slot join the hot set; there is nothing to
 * do for what lies past it. For span.c. */
int udfvm_hot_set_add(struct udfvm_vm *vm, uint64_t offset, uint64_t length);
int udfvm_vm_collect_dirty(struct udfvm_vm *vm,
                           struct udfvm_error *error); /* newly dirty pages join the hot set */

/* Copies the hot set back. */
int udfvm_vm_restore_memory(struct udfvm_vm *vm, struct udfvm_error *error);

/* ---- processor.c ---- */
/* The next the guest begins a call at the sealed state. */
void udfvm_vm_enter_sealed(struct udfvm_vm *vm);
/* After a call, however it ended, and after the dirty log was read: another KVM VM may take the
 * place of this one. */
int udfvm_vm_restore_processor(struct udfvm_vm *vm, struct udfvm_error *error);
/* KVM refused to enter the VM at all. */
bool udfvm_vm_never_began(const struct udfvm_vm *vm);

/* ---- call.c, hypercall.c, files.c ---- */
enum { HYPERCALL_CONTINUE = 0, HYPERCALL_COMPLETE = 1, HYPERCALL_SEAL = 2, HYPERCALL_FAILED = 3 };
/* Serves the hypercall in `regs`; its result goes to regs->rax. */
int udfvm_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);
void udfvm_files_close_all(struct udfvm_vm *vm);
int64_t udfvm_file_hypercall(struct udfvm_vm *vm, const struct registers *regs);
/* ---- host_call.c ---- */
int udfvm_host_call(struct udfvm_vm *vm, struct registers *regs,
                    struct udfvm_error *error); /* HYPERCALL_CONTINUE or HYPERCALL_FAILED */
/* Runs the vCPU until the guest completes, seals or fails; sets vm->state. */
int udfvm_vm_run(struct udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error);
/* Runs until a hypercall that ends this exchange; its kind, or HYPERCALL_FAILED. */
int udfvm_vm_run_vcpu(struct udfvm_vm *vm, struct udfvm_error *error);
int udfvm_vm_timed_out(const struct udfvm_vm *vm, struct udfvm_error *error);
/* Asks the watch, if there is one. */
bool udfvm_vm_watched_out(struct udfvm_vm *vm);
/* Puts a request into the input window, in a call that goes on. */
int udfvm_vm_place_request(struct udfvm_vm *vm, uint32_t request, const void *input,
                           uint64_t length, struct udfvm_error *error);
/* Puts a request into the input window and starts the deadline. */
int udfvm_vm_request(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                     const struct udfvm_limits *limits, struct udfvm_error *error);

/* ---- streaming.c ---- */
#define IDLE_SPIN_US \
    100u /* the guest's wait for the next request before it exits, where nothing else was set */
#define MAX_IDLE_SPIN_US 1000000u
#define STREAM_AFTER     8u /* exchanges of a call, before a thread is worth its start */
void udfvm_stream_end(struct udfvm_vm *vm);
/* On the vCPU's thread, after a signal: UDFVM_OK to go on. */
int udfvm_stream_look(struct udfvm_vm *vm, struct udfvm_error *error);
void udfvm_stream_forget_places(void); /* in a forked child, which has no streams */

#endif
