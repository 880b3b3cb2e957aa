/* A VM that is called: its machine and memory, and the state of the call that it is in. */
#ifndef UDFVM_CALL_VM_H
#define UDFVM_CALL_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "udfvm_abi.h"

#include "api.h"
#include "call/costs.h"
#include "call/deadline.h"
#include "call/log.h"
#include "machine/machine.h"
#include "memory/memory.h"

#define MAX_FILES 256

enum vm_state {
    VM_SEALED,   /* at its sealed state: a call may begin */
    VM_STOPPED,  /* stopped at a completed exchange: may be continued or restored */
    VM_BROKEN,   /* stopped elsewhere: only a restore with a processor reset helps */
    VM_UNSEALED, /* booted, never sealed */
};
/* The VM's machine is that of another process, or there is none (in_process/): what is done there
 * in place of what is done here. Requests lie in the input window already. */
struct remote_operations {
    bool in_jail; /* another process has it; otherwise nothing isolates it */
    int (*call)(struct udfvm_vm *vm, uint32_t request, uint64_t length, struct udfvm_reply *reply,
                struct udfvm_error *error);
    int (*restore)(struct udfvm_vm *vm, struct udfvm_error *error);
    int (*bind)(struct udfvm_vm *vm, struct udfvm_image *image, struct udfvm_error *error);
    int (*shrink)(struct udfvm_vm *vm, bool all, struct udfvm_error *error);
    int (*seal)(struct udfvm_vm *vm, int fd, const uint8_t *name, const void *metadata,
                size_t metadata_length, struct udfvm_error *error);
    /* Streaming calls: see call/streaming.c, whose thread of the vCPU is in the other process. All
     * NULL: there are none. */
    struct stream_words *(*stream_words)(struct udfvm_vm *vm);
    const struct udfvm_stream_reply *(*stream_reply)(const struct udfvm_vm *vm);
    int (*stream_begin)(struct udfvm_vm *vm, struct udfvm_error *error);
    int (*stream_wake)(struct udfvm_vm *vm, struct udfvm_error *error);
    int (*stream_serve)(struct udfvm_vm *vm, struct udfvm_error *error);
    int (*stream_log)(struct udfvm_vm *vm, struct udfvm_error *error);
    void (*stream_end)(struct udfvm_vm *vm, struct udfvm_error *failure);
    void *(*borrow)(struct udfvm_vm *vm, uint64_t begin, uint64_t length,
                    struct udfvm_error *error);
    void (*statistics)(const struct udfvm_vm *vm, struct udfvm_vm_statistics *statistics);
    bool (*settle)(struct udfvm_vm *vm); /* takes what it said of the restore; false: it has not.
                                            NULL: nothing is to be said */
    pid_t (*process)(const struct udfvm_vm *vm); /* that has its memory; 0, or NULL: this one */
    bool (*usable)(struct udfvm_vm *vm);         /* it is as it was left, and may be called */
    void (*close)(struct udfvm_vm *vm);
};

struct udfvm_vm {
    const struct remote_operations *remote; /* NULL: it runs in this process */
    struct machine machine;
    struct guest_memory memory;
    struct udfvm_config config;
    enum vm_state state;
    unsigned generation;           /* of the process that opened it */
    bool once;                     /* it is for one call: a pool closes it when it is given back */
    const struct udfvm_pool *pool; /* that it was taken from last, which may be gone; NULL: none */
    struct udfvm_vm *following, **link; /* among all VMs of that pool, whose lock guards them */
    bool listed;                        /* it is among them: see pool/memory.c */
    uint64_t calls, exits;
    uint32_t tsc_khz;               /* 0: there is no vCPU */
    uint64_t begun_ns, begun_ticks; /* when it was opened */
    uint64_t renewed_ns; /* that a process took to start which took the place of the VM's; 0: the
                            pool knows of it, or there was none */

    /* What the embedder set for it. */
    int (*watch)(void *context); /* see udfvm_vm_set_watch; NULL: none */
    void *watch_context;
    uint32_t idle_spin_us; /* see udfvm_vm_set_idle_spin */
    uint64_t end_ns;       /* see udfvm_vm_set_end */
    uint64_t waited_ns;    /* for it; counts for the deadline of the call that comes */

    /* The call. */
    struct udfvm_limits limits;
    uint64_t max_reply; /* bytes from the window's start, a result left in scratch included */
    struct deadline deadline;
    uint64_t first_end_ns;  /* of a first call, whatever files it opens; 0: it is none */
    bool opened_files;      /* in this call */
    struct udfvm_vm *outer; /* see udfvm_vm_out */
    struct log log;
    struct costs costs;
    /* The report that lacks what the restore found, which another process has not said yet. */
    struct owed {
        struct udfvm_account *account; /* NULL: none does */
        uint64_t number;
    } owed;
    struct ended *ended;   /* NULL; or where the end of its call is noted, for the hook */
    uint64_t reply_length; /* of the last exchange */
    uint64_t short_length; /* of the short payload that lies behind the call page's structure */
    uint64_t sequence;
    uint32_t process_id; /* the program's, in this call */
    bool begun;          /* it has made a hypercall */
    uint64_t host_calls;
    unsigned exchanges;      /* that could have been streamed */
    struct stream *stream;   /* NULL: the VM is entered by calls */
    uint32_t remote_request; /* that a stream in another process begins with */
    uint64_t remote_length;
    uint8_t seeds[4096]; /* randomness of the next calls */
    size_t seeds_left;

    /* Open files. */
    const struct udfvm_files *files;
    int64_t handles[MAX_FILES]; /* the embedder's, -1 where free */
    unsigned handles_open;

    /* The processor. */
    bool signals_shut; /* it ignores signals that its thread blocked: see udfvm_signals_settle */
    bool unfit;        /* the hypervisor's VM must not run again: see processor.c */

    /* After a seal hypercall. */
    struct udfvm_seal_info *seal_info;
    struct sealed_state *seal_state;
};

/* ---- vm.c ---- */

/* In a forked child, which has neither memory nor registers of its parent's VMs: whatever runs code
 * of the embedder during a call asks afterwards. */
bool udfvm_vm_forked(const struct udfvm_vm *vm);
int udfvm_vm_fail_forked(struct udfvm_error *error); /* UDFVM_E_FORKED: in the middle of a call */

/* What VMs have in common, wherever they run: its settings and books, of zeroed memory. */
void udfvm_vm_begin(struct udfvm_vm *vm, const struct udfvm_config *config,
                    const struct udfvm_files *files);
/* A VM of the image (NULL: one that is to be booted) whose windows another process maps, too
 * (`shared` NULL: none does). */
udfvm_vm *udfvm_vm_open_shared(udfvm_image *image, const struct udfvm_config *config,
                               const struct shared_windows *shared, const struct udfvm_files *files,
                               struct udfvm_error *error);
/* False: the process in which it runs died, or did not restore it. */
bool udfvm_vm_usable(struct udfvm_vm *vm);

/* Where a call begins: UDFVM_E_DATA if others changed its data. */
int udfvm_vm_check_data(const struct udfvm_vm *vm, struct udfvm_error *error);
/* The code of a call that failed, which is UDFVM_E_DATA if it may have failed of that. */
int udfvm_vm_blame_data(const struct udfvm_vm *vm, int code, struct udfvm_error *error);

/* ---- boot.c: the steps of udfvm_vm_boot ---- */

int udfvm_boot_check(const struct udfvm_config *config, size_t kernel_length,
                     struct udfvm_error *error);
/* A VM with the guest kernel in its memory; `shared` as for udfvm_vm_open_shared. */
udfvm_vm *udfvm_boot_create(const struct udfvm_config *config, const void *kernel,
                            size_t kernel_length, const struct shared_windows *shared,
                            const struct udfvm_files *files, struct udfvm_error *error);
/* Runs it until it asks to be sealed. `payload` NULL: it lies in the input window. */
int udfvm_boot_run(struct udfvm_vm *vm, const void *payload, size_t length,
                   const struct udfvm_limits *limits, struct udfvm_error *error);
int udfvm_boot_fail_unsealed(struct udfvm_error *error);
/* The VM, for its seal, with a copy of its log in *report; closed, and NULL, if the boot failed. */
udfvm_vm *udfvm_boot_end(struct udfvm_vm *vm, int code, char **report);

/* ---- nesting.c ---- */

/* Between the two the embedder's code runs on this thread, in the middle of the VM's call: it may
 * make calls, for which this VM is not free. */
void udfvm_vm_out(struct udfvm_vm *vm);
void udfvm_vm_in(struct udfvm_vm *vm);
/* How many of a pool's VMs are in use by such calls of this thread. */
unsigned udfvm_vms_out(const struct udfvm_pool *pool);

/* ---- restore.c ---- */

/* Give memory of a restored VM back: see udfvm_memory_drop_buffers and udfvm_memory_shrink. */
int udfvm_vm_drop_buffers(struct udfvm_vm *vm, struct udfvm_error *error);
int udfvm_vm_shrink(struct udfvm_vm *vm, struct udfvm_error *error);

#endif
