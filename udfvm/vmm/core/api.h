/* The micro-VM core: all that a program needs to run sealed images, with no Python in it. Long
 * because it is the whole public interface: one header to include, and to generate bindings from.
 *
 * A program opens an image (udfvm_image_open), creates a pool of VMs (udfvm_pool_create), takes a
 * VM (udfvm_pool_take), calls it (udfvm_vm_call) and gives it back (udfvm_pool_give);
 * udfvm_pool_call does the last three in one step.
 *
 * Errors     A function that can fail returns a code of enum udfvm_code, or NULL, and fills *error
 *            where error is not NULL. Nothing prints, nothing exits, and no signal disposition
 *            changes but that of the kick signal (see udfvm_vm_call).
 * Threads    Images and pools may be used from any thread; a VM by one thread at a time. A thread
 *            of the core helps with megabytes. It takes no signals, and ends when it had nothing to
 *            do for a second.
 * Forks      A child must not use VMs of its parent: calls on them fail with UDFVM_E_FORKED, also
 *            those in the middle of which a host function, an interrupt hook or a watch forked.
 *            Freeing such VMs is safe. Their windows and replies are not mapped in the child.
 * The end    libudfvm.so stays loaded. Threads, whose clean-up may make calls, and the process may
 *            end in any order.
 */
#ifndef UDFVM_API_H
#define UDFVM_API_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Results of functions that can fail. */
enum udfvm_code {
    UDFVM_OK = 0,
    UDFVM_E_NO_KVM = 1,      /* /dev/kvm is absent or is no usable KVM */
    UDFVM_E_PERMISSION = 2,  /* /dev/kvm may not be opened by this user */
    UDFVM_E_SYSTEM = 3,      /* a system call failed: see error.os_errno */
    UDFVM_E_ARGUMENT = 4,    /* the caller's mistake */
    UDFVM_E_IMAGE = 5,       /* image file damaged, foreign, or of another version */
    UDFVM_E_TIMEOUT = 6,     /* deadline passed */
    UDFVM_E_INTERRUPTED = 7, /* the interrupt hook said so */
    UDFVM_E_CRASH = 8,       /* the guest program died of a signal: see error.crash_* */
    UDFVM_E_EXIT = 9,        /* the guest program called exit */
    UDFVM_E_DEADLOCK = 10,   /* every guest thread waits for ever */
    UDFVM_E_PROTOCOL = 11, /* the guest broke the ABI: a hypercall that is not one, a triple fault,
                              an unknown port */
    UDFVM_E_OUTPUT = 12,   /* reply larger than limits.max_output */
    UDFVM_E_LOG = 13,      /* more log bytes than limits.max_log, where limits.strict_log is set */
    UDFVM_E_INPUT = 14,    /* request larger than the input window */
    UDFVM_E_FORKED = 15,   /* VM or pool of the parent process used in a forked child */
    UDFVM_E_BUSY = 16,     /* no VM became free in time */
    UDFVM_E_HOST_FUNCTION = 17, /* a host function failed, or udfvm_log_sink.take */
    UDFVM_E_HOST_CALLS = 18, /* more calls of host functions than udfvm_host_functions.max_calls */
    UDFVM_E_CACHE =
        19, /* a file or directory of the image cache is not what this user may rely on */
    UDFVM_E_CLOSED = 20, /* the pool takes no more calls: see udfvm_pool_shut */
    UDFVM_E_JAIL = 21,   /* a jailed VM was asked for, and cannot be had: see udfvm_pool_jail */
    UDFVM_E_HARDEN = 22, /* calls are to be hardened, and cannot be: see udfvm_harden */
    UDFVM_E_DATA = 23,   /* a data file cannot be used, or others changed it: see udfvm_data_open */
};
enum { UDFVM_CODES = 24 }; /* all are less */

/* The details of a failure. */
struct udfvm_error {
    int code;     /* enum udfvm_code */
    int os_errno; /* errno, 0 where it has no part in it */
    int signal;   /* UDFVM_E_CRASH: the signal; UDFVM_E_EXIT: the exit status; UDFVM_E_FORKED: 1 in
                     the middle of a call */
    uint64_t address, rip; /* UDFVM_E_CRASH; address, UDFVM_E_OUTPUT: bytes of the reply, as far as
                              the guest says */
    char message[480];     /* one sentence, no newline at the end */
};

/* ---- System ---- */

/* KVM on this machine. */
struct udfvm_system {
    int kvm_api_version;                   /* 12 */
    int is_pvm;                            /* 1: KVM is served by PVM */
    char vendor[16];                       /* "pvm", "vmx", "svm" or "unknown" */
    int sync_regs, manual_dirty_log, xcrs; /* capabilities that the core needs: 1 where present */
    uint64_t xcr0;                         /* state components that VMs enable */
};
/* What KVM on this machine is. Fails with UDFVM_E_NO_KVM or UDFVM_E_PERMISSION. */
int udfvm_system_probe(struct udfvm_system *system, struct udfvm_error *error);
/* There is soon to be a VM. The first of a process, and udfvm_system_probe, need an answer of KVM
 * that takes as long as some ten calls: another thread asks for it meanwhile. Whoever opens a base
 * image says so. */
void udfvm_foresee_vm(void);

/* Exit latency, which no call can be faster than: microseconds of one exit from ring-3 code and the
 * entry back into it, `count` of them in the order they were taken, in a minimal VM that does
 * nothing else. */
int udfvm_measure_exits(double *microseconds, size_t count, struct udfvm_error *error);

/* Called when a signal interrupted a running call (EINTR), and about every 50 ms of a call, because
 * a signal may come just before the guest is entered, or to another thread: non-zero abandons the
 * call with UDFVM_E_INTERRUPTED. One for the process, called on the thread that runs the call; NULL
 * for none. */
void udfvm_set_interrupt_hook(int (*hook)(void));

/* From now on, and for good, whatever enters a guest in this process does so on threads of the
 * core's own, behind a filter of system calls (seccomp(2)): of the calls that begin from now on,
 * those of VMs that are not jailed. Callbacks run on the thread that makes the call, which has no
 * filter. Where such a thread cannot be had (UDFVM_E_HARDEN) nothing changes. UDFVM_HARDEN=1 in the
 * environment does the same from the beginning. */
int udfvm_harden(struct udfvm_error *error);

/* ---- Files that a guest may read: implemented by the embedder. Paths are absolute,
 * NUL-terminated, at most 4096 bytes. Results: negative errno on failure; after -EINTR the
 * interrupt hook is asked. Never called in a call whose limits.files is 0. A handle is any number
 * >= 0; the core gives the guest numbers of its own, and closes what a call left open. ---- */

/* Callbacks return a negative errno for failures. struct udfvm_stat: guest/include/udfvm_abi.h */
struct udfvm_stat;
struct udfvm_files {
    void *context;
    int64_t (*open)(void *context, const char *path, struct udfvm_stat *stat);
    int64_t (*stat)(void *context, const char *path, int follow, struct udfvm_stat *stat);
    int64_t (*read)(void *context, int64_t handle, uint64_t offset, void *buffer, uint64_t length);
    int64_t (*close)(void *context, int64_t handle);
    int64_t (*list)(void *context, const char *path, uint64_t first, void *buffer, uint64_t length);
    int64_t (*readlink)(void *context, const char *path, char *buffer, uint64_t length);
};

/* ---- Functions of the embedder that a guest may call. The call is made on the thread that runs
 * the VM; time that it takes counts for the deadline, which is kept once it returns. Calls of many
 * exchanges that may make such calls are not streamed. ---- */

/* The functions that a guest may call. */
struct udfvm_host_functions {
    void *context;
    /* `name` is any string of at most UDFVM_MAX_HOST_NAME bytes, `arguments` a copy of what the
     * guest wrote. Returns the length of the reply, which is written if it is not longer than
     * `capacity`; UDFVM_NO_HOST_FUNCTION; or UDFVM_HOST_FUNCTION_FAILED, with a text of less than
     * 256 bytes in `failure`, which ends the call with UDFVM_E_HOST_FUNCTION. */
    int64_t (*call)(void *context, const char *name, const void *arguments, uint64_t length,
                    void *reply, uint64_t capacity, char *failure);
    uint64_t max_calls; /* in one call of the guest; one more ends it with UDFVM_E_HOST_CALLS */
};
#define UDFVM_NO_HOST_FUNCTION     -1
#define UDFVM_HOST_FUNCTION_FAILED -2

/* ---- Data: files that a guest finds in its /data, mapped once for all VMs that have them, and
 * read-only for all. ---- */

/* A regular file that is open for reading, which the core opens once more, and its name in /data:
 * 1 to 95 bytes without a slash. */
struct udfvm_data_source {
    const char *name;
    int fd;
};
typedef struct udfvm_data udfvm_data;
/* Maps 1 to 64 files, of less than 128 GiB together. NULL: UDFVM_E_ARGUMENT, UDFVM_E_SYSTEM, and
 * UDFVM_E_DATA for a file that is empty, not regular or too large. */
udfvm_data *udfvm_data_open(const struct udfvm_data_source *sources, size_t count,
                            struct udfvm_error *error);
udfvm_data *udfvm_data_retain(udfvm_data *data); /* one more reference */
void udfvm_data_close(udfvm_data *data);         /* gives one reference back; NULL is allowed */
/* UDFVM_E_DATA where a file has another size, or was written at another time, than when it was
 * opened. Calls ask so where they begin. A file that becomes shorter in a call's midst fails it. */
int udfvm_data_check(const udfvm_data *data, struct udfvm_error *error);

/* ---- What a guest program writes to its standard output and error, in order. It is a guest's
 * text: see udfvm_visible_text. ---- */

/* A part of a log that one stream wrote; the log of a call; and the callback that takes it. */
struct udfvm_log_part {
    uint64_t end; /* in the text; it begins where the part before ends */
    int stream;   /* 1: standard output; 2: standard error */
};
struct udfvm_log {
    const char *text; /* of the whole call so far, not NUL-terminated */
    uint64_t length,
        given; /* given: bytes that an earlier exchange's log had already; a part begins there */
    const struct udfvm_log_part *parts;
    uint64_t part_count;
};
struct udfvm_log_sink {
    void *context;
    /* Called on the thread that made the call, at the end of each exchange in which something was
     * written, and of each that failed, be it that the guest says so (`failed` is 1 then, and there
     * may be nothing). The VM is still in use; the log must not be kept. Non-zero fails the call
     * with UDFVM_E_HOST_FUNCTION, if it had not failed, and the text of less than 256 bytes in
     * `failure` says why. */
    int (*take)(void *context, const struct udfvm_log *log, int failed, char *failure);
};

/* ---- Accounts: what calls cost. The limits of a call name the account that it is noted in when
 * its VM was put back. A forked child begins with empty ones. ---- */

/* What one call cost. Times are of the thread that made it. */
struct udfvm_call_report {
    uint64_t number;   /* among the calls of its account, from 1 on; 0: there was none yet */
    uint64_t ended_ns; /* by udfvm_monotonic_ns() */
    uint64_t rows;     /* that the embedder told of; each ROW is one */
    uint64_t exchanges;
    uint64_t input, output; /* bytes of requests, and of replies */
    uint64_t log;           /* bytes kept of standard output and error */
    uint64_t host_calls;
    uint64_t exits;      /* from the guest; of a jailed VM, as its process says */
    uint64_t pages;      /* that were put back; 0 of a jailed VM, which is put back later */
    uint64_t memory;     /* bytes that the call wrote beyond its image, at most */
    uint64_t peak;       /* bytes of guest memory in use at most, those of its image included, as
                            the guest kernel says; 0: it does not */
    uint64_t host_ns;    /* the program's own code, waits for a VM, host functions, files */
    uint64_t copy_ns;    /* writing requests to the window, and taking replies from there */
    uint64_t guest_ns;   /* in the guest, exits included; of a streaming call, by samples */
    uint64_t restore_ns; /* putting the VM back */
    int code;            /* enum udfvm_code, of the last exchange */
    int status;          /* where that is UDFVM_OK: UDFVM_STATUS_x */
    int jailed, streamed;
    uint64_t parts; /* calls that it is the sum of: more than one of a batch in parts */
};
/* Of many calls. */
struct udfvm_call_sums {
    uint64_t calls, rows, exchanges, input, output, log, host_calls, exits, pages;
    uint64_t peak; /* the largest */
    uint64_t host_ns, copy_ns, guest_ns, restore_ns;
    uint64_t errors[UDFVM_CODES]; /* calls that failed, by code; 0: so the guest's reply says */
};

typedef struct udfvm_account udfvm_account;

/* An account, for the calls of one function say. It has a report of the last call. The sums are in
 * `whole`, which several accounts share; in itself, where that is NULL. */
udfvm_account *udfvm_account_create(udfvm_account *whole, struct udfvm_error *error);
udfvm_account *udfvm_account_retain(udfvm_account *account); /* one more reference */
/* Gives one back (NULL is allowed). Calls that were begun keep references of their own. */
void udfvm_account_close(udfvm_account *account);
/* An account for the parts of one batch, which is a call of `account`. Those count in the sums,
 * each as a call. */
udfvm_account *udfvm_account_begin_batch(udfvm_account *account, struct udfvm_error *error);
/* The batch has ended: the sum of its parts, if there were any, is the last report of the account
 * that it is of. Its `ended_ns` is that of the part that ended last, its `peak` the largest. Its
 * code is that of the first that failed, of those that were interrupted only if no other did. */
void udfvm_account_end_batch(udfvm_account *batch);
void udfvm_account_last(udfvm_account *account, struct udfvm_call_report *report);
void udfvm_account_sums(udfvm_account *account, struct udfvm_call_sums *sums);
/* A number by which the embedder knows the account, for the hook below. 0 at first. */
void udfvm_account_set_label(udfvm_account *account, uint64_t label);
/* Sets what is called after each call that was noted, NULL for nothing: on the thread that gave the
 * VM back, once it is back in its pool. It may make calls; it must neither fail nor keep the
 * report. */
void udfvm_set_report_hook(void (*hook)(uint64_t label, const struct udfvm_call_report *report));

/* ---- VMs ---- */

typedef struct udfvm_vm udfvm_vm;
typedef struct udfvm_image udfvm_image;
typedef struct udfvm_pool udfvm_pool;

/* Sizes of a new VM. */
struct udfvm_config {
    uint64_t
        memory; /* bytes of guest memory, kernel included; a multiple of 2 MiB, 16 MiB to 64 GiB */
    uint64_t input_window; /* bytes, multiples of 2 MiB, at most 16 GiB; reserved, not allocated */
    uint64_t output_window;
    uint64_t scratch; /* bytes that calls may use beside the memory, which no image holds; a
                         multiple of 2 MiB, may be 0; together with the output window at most 16
                         GiB; reserved, not allocated */
};

/* Where NULL is passed: no deadline, 64 KiB of log, no files. */
struct udfvm_limits {
    uint64_t timeout_ns;  /* wall clock, from udfvm_vm_call to its return, but for what the call
                             before left to do; 0: none */
    uint64_t max_output;  /* bytes of the reply; 0: the output window, and scratch where the guest
                             leaves a result in place */
    uint64_t reply_frame; /* 0, or bytes that a reply may have beyond: what its format adds to the
                             result. To ROW it adds struct udfvm_value, whatever this says. */
    uint64_t max_log;  /* bytes kept of standard output and error; what comes after is dropped, with
                          a note in its place */
    int files;         /* 1: the guest may read files through the VM's udfvm_files */
    int deterministic; /* 1: clock and randomness are fixed */
    const struct udfvm_host_functions *host_functions; /* NULL: the guest may call none */
    const struct udfvm_log_sink *log_sink; /* NULL: udfvm_reply has the log, of calls by exits */
    int strict_log;                        /* 1: writing more than max_log fails the call */
    uint64_t *first_call_ns; /* NULL; or wall clock for calls that begin before one with these
                                limits has ended: each file that they open gives them timeout_ns
                                anew, for so long in all. The first that ends sets it to 0. */
    udfvm_account *account;  /* NULL; or where calls are noted */
};

/* The end of an exchange: the guest's reply, or its request to be sealed. */
struct udfvm_reply {
    int sealed;       /* 1: the guest asks to be sealed (after BOOT and LOAD) */
    int status;       /* UDFVM_STATUS_x */
    const void *data; /* in the output window: valid until the next use of this VM; the guest does
                         not run meanwhile */
    uint64_t length;
    const char
        *log; /* standard output and error of this call, not NUL-terminated; owned by the VM */
    uint64_t log_length;
};

/* Starts a new VM: loads the flat kernel image and runs the program named by the boot payload
 * (struct udfvm_boot and strings) until it asks to be sealed (UDFVM_OK; seal with udfvm_vm_seal),
 * or fails. On failure returns NULL; *report (may be NULL) gets a malloc'd NUL-terminated copy of
 * what the guest logged, in either case. */
udfvm_vm *udfvm_vm_boot(const struct udfvm_config *config, const void *kernel, size_t kernel_length,
                        const void *boot, size_t boot_length, const struct udfvm_files *files,
                        const struct udfvm_limits *limits, char **report,
                        struct udfvm_error *error);

/* The same in a process of its own, behind the walls of jailed VMs; `cgroup` (may be NULL): see
 * udfvm_pool_jail. The VM is sealed there. */
udfvm_vm *udfvm_vm_boot_jailed(const struct udfvm_config *config, const void *kernel,
                               size_t kernel_length, const void *boot, size_t boot_length,
                               const struct udfvm_files *files, const struct udfvm_limits *limits,
                               const char *cgroup, char **report, struct udfvm_error *error);

/* Writes the state at the seal to the file descriptor (a new, empty, regular file). A VM that was
 * booted gives a base image; a VM on a base image gives a layer of it: the pages that differ.
 * `metadata` is kept in the image for the embedder. */
int udfvm_vm_seal(udfvm_vm *vm, int fd, const void *metadata, size_t metadata_length,
                  struct udfvm_error *error);
/* So for the image cache, where `name`, in hexadecimal, is the image's name: it is no image under
 * any other. */
int udfvm_vm_seal_named(udfvm_vm *vm, int fd, const uint8_t name[32], const void *metadata,
                        size_t metadata_length, struct udfvm_error *error);

/* What the guest reported at its seal; NULL for a VM that has not asked to be sealed. */
struct udfvm_seal_info;
const struct udfvm_seal_info *udfvm_vm_seal_info(const udfvm_vm *vm);

/* A new VM on a base image, or on a layer, at its sealed state. `files` (may be NULL) must outlive
 * the VM. */
udfvm_vm *udfvm_vm_open(udfvm_image *image, const struct udfvm_files *files,
                        struct udfvm_error *error);
/* The same with other windows and scratch than those of the image, as in struct udfvm_config: for a
 * call that needs larger ones. */
struct udfvm_windows {
    uint64_t input, output, scratch;
};
udfvm_vm *udfvm_vm_open_windows(udfvm_image *image, const struct udfvm_windows *windows,
                                const struct udfvm_files *files, struct udfvm_error *error);
/* Moves a restored VM to another image of the same base: copies the pages in which the two differ.
 */
int udfvm_vm_bind(udfvm_vm *vm, udfvm_image *image, struct udfvm_error *error);
/* Gives data to a VM of this process that has none and was not called yet. The VM keeps a
 * reference. */
int udfvm_vm_give_data(udfvm_vm *vm, udfvm_data *data, struct udfvm_error *error);
void udfvm_vm_close(udfvm_vm *vm);

/* UDFVM_E_FORKED in a forked child of the process that opened the VM, else UDFVM_OK. Ask before you
 * write to the input window. */
int udfvm_vm_check(const udfvm_vm *vm, struct udfvm_error *error);

/* `size` bytes of the input window, from its start, to write a request in place. They count as
 * written from now on, whatever comes of the request: the next call finds nothing of them but what
 * is sent. May be asked for again with a larger size while the request is written; at most what was
 * asked for may be sent, and every byte of that must have been written. The pointer is good until
 * the VM is called, restored or given back. NULL: UDFVM_E_INPUT, UDFVM_E_FORKED. */
void *udfvm_vm_input(udfvm_vm *vm, uint64_t size, struct udfvm_error *error);
uint64_t udfvm_vm_input_capacity(const udfvm_vm *vm); /* bytes of the largest request */

/* One entry. `input` is copied into the window, unless it is NULL or udfvm_vm_input() itself. On a
 * VM at its sealed state this begins a call; after a reply that was not followed by
 * udfvm_vm_restore it continues that call with the next request. Returns when the guest completes
 * or asks to be sealed, or with an error, after which the VM must be restored. Deadlines are kept
 * by a thread of the core's, whatever the program does with its signals: it interrupts the calling
 * thread with the real-time signal SIGRTMAX-3, whose handler is installed before it is sent first,
 * unless the program has one. A call that is made in the middle of another on the same thread, by a
 * host function say, ends by the deadline of that one too. */
int udfvm_vm_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                  const struct udfvm_limits *limits, struct udfvm_reply *reply,
                  struct udfvm_error *error);

/* As udfvm_vm_call, for calls of many exchanges with the same limits. After the first few the VM
 * moves to a thread of its own and stays entered: requests and replies then cross through shared
 * memory without an exit, in well under a microsecond. The guest waits a while for the next request
 * (udfvm_vm_set_idle_spin), then exits and its thread sleeps; one that does not is taken out. There
 * are as many such threads at a time as processors beside the caller's; calls beyond them, and all
 * with one processor, go on by exits. The deadline is that of each exchange; the reply's data is a
 * copy, and valid until the next; its log is not given. Restoring the VM ends the thread. */
int udfvm_vm_stream_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                         const struct udfvm_limits *limits, struct udfvm_reply *reply,
                         struct udfvm_error *error);

/* The two halves of udfvm_vm_stream_call, for a caller that does something else while the guest
 * works. Sends the next request of a call that has had a reply; UDFVM_E_BUSY where it is not
 * streamed (there is no processor for it, or nothing but exits was asked for): the VM is as before,
 * for udfvm_vm_call. Till the reply is received the VM may only be restored, given back or closed,
 * and nothing be written to the input window. A streamed reply of before stays valid till then. */
int udfvm_vm_stream_send(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                         const struct udfvm_limits *limits, struct udfvm_error *error);
/* Waits for its reply. What the guest did in time counts, however late this is asked for. */
int udfvm_vm_stream_receive(udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error);

/* For the report of the call: the next exchange is about so many rows, beyond those of ROW
 * requests. `whole`: it is the whole call, so what comes after its reply is copying that. */
void udfvm_vm_tell(udfvm_vm *vm, uint64_t rows, int whole);

/* While a call runs, `watch` is called about every 50 ms on the thread that made it; non-zero
 * abandons the call with UDFVM_E_INTERRUPTED. It must not use the VM. NULL for none. Stays set
 * until the VM is given back to its pool. */
void udfvm_vm_set_watch(udfvm_vm *vm, int (*watch)(void *context), void *context);
/* How long the guest of a streaming call waits for the next request before it exits and its thread
 * sleeps: microseconds, at most 1,000,000; 100 where nothing was set; 0: every exchange is an exit.
 * For calls that begin later; stays set until the VM is given back to its pool. */
void udfvm_vm_set_idle_spin(udfvm_vm *vm, uint32_t microseconds);
/* CLOCK_MONOTONIC in nanoseconds: the clock of all deadlines. */
uint64_t udfvm_monotonic_ns(void);
/* When a streaming call's thread stops an exchange, by udfvm_monotonic_ns(), whatever the
 * caller's thread does meanwhile; 0: only its timeout does. Stays set until the VM is given back to
 * its pool. */
void udfvm_vm_set_end(udfvm_vm *vm, uint64_t monotonic_ns);

/* A part of the reply of the last call, for the embedder to read and to write as it likes until the
 * VM is used again or given back, without a copy. It counts as written: the restore puts it back.
 * Forked children get a copy of it. NULL: UDFVM_E_ARGUMENT where the VM has no such reply (it was
 * streamed, or is shorter), UDFVM_E_FORKED, UDFVM_E_SYSTEM. */
void *udfvm_vm_borrow(udfvm_vm *vm, uint64_t begin, uint64_t length, struct udfvm_error *error);

/* Puts the VM back to its sealed state, wherever it stopped. On failure the VM must be closed.
 * Where a call wrote megabytes their zeroing may go on meanwhile: the next call waits for it. */
int udfvm_vm_restore(udfvm_vm *vm, struct udfvm_error *error);

/* One fresh call in one go: call, copy the reply to `output` (at most `capacity` bytes; *length
 * gets its full length), restore. Returns UDFVM_OK with *status set. A reply larger than capacity
 * is UDFVM_E_OUTPUT. */
int udfvm_vm_fresh_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                        const struct udfvm_limits *limits, void *output, uint64_t capacity,
                        uint64_t *output_length, int *status, struct udfvm_error *error);

/* Counters of a VM since it was opened. `memory` is bytes of guest memory. */
struct udfvm_vm_statistics {
    uint64_t calls, restores, hot_pages, pages_copied, memory;
    uint64_t exits;
};
void udfvm_vm_statistics(const udfvm_vm *vm, struct udfvm_vm_statistics *statistics);

/* ---- Images ---- */

/* Maps a sealed image and checks its header (UDFVM_E_IMAGE). A layer needs the very base it was
 * sealed on; NULL for a base. The descriptor may be closed afterwards. Images are
 * reference-counted: VMs, layers and pools hold their images. */
udfvm_image *udfvm_image_open(int fd, udfvm_image *base, struct udfvm_error *error);
/* The same of an image that is a part of a file, which begins at a page. */
udfvm_image *udfvm_image_open_within(int fd, uint64_t offset, uint64_t length, udfvm_image *base,
                                     struct udfvm_error *error);
/* Checks the whole content against its checksum, which reads all of it (UDFVM_E_IMAGE). Not needed
 * again for a file that has not changed. */
int udfvm_image_verify(const udfvm_image *image, struct udfvm_error *error);
void udfvm_image_close(udfvm_image *image);          /* gives one reference back; NULL is allowed */
udfvm_image *udfvm_image_retain(udfvm_image *image); /* one more reference */
const void *udfvm_image_metadata(const udfvm_image *image, size_t *length);

/* Where the metadata lies in an image file, which image that is and on which it was sealed (zeros
 * for a base), by its header alone. Non-zero where the header is not that of an image. */
struct udfvm_image_location {
    uint64_t offset, length;
    uint8_t digest[32], base_digest[32];
};
int udfvm_image_locate_metadata(int fd, struct udfvm_image_location *location);

/* The size and identity of an image. */
struct udfvm_image_statistics {
    uint64_t memory; /* bytes of guest memory */
    uint64_t pages;  /* stored pages */
    uint64_t file_bytes;
    int is_layer;
    uint64_t input_window, output_window; /* bytes, of VMs as they are opened on it */
    uint8_t digest[32];                   /* identity of the content */
};
void udfvm_image_statistics(const udfvm_image *image, struct udfvm_image_statistics *statistics);

/* ---- The image cache: a directory that this user and root alone can write. ---- */

/* Opens the file `name` of a directory, with flags of open(2), or the directory where it is NULL;
 * returns the descriptor, or -1. Symbolic links in place of the file, FIFOs, sockets, devices and
 * directories are refused (UDFVM_E_CACHE), and what other users own or could have written: the
 * file, its directory, or one above that. Does not wait. UDFVM_E_SYSTEM with ENOENT: there is none.
 * New files are this user's alone. */
int udfvm_private_open(const char *directory, const char *name, int flags,
                       struct udfvm_error *error);
/* Opens an image of the cache so, and checks its content, unless the note NAME.verified beside it
 * says that this state of the file was checked before. While it is open, in any process, the file
 * has a shared lock (flock); when it was opened last is the note's time of modification. */
udfvm_image *udfvm_image_open_cached(const char *directory, const char *name, udfvm_image *base,
                                     struct udfvm_error *error);

/* ---- Pool: VMs of one base image, serving the base and every layer of it. ---- */

/* At most `limit` VMs live at once. `files` may be NULL. */
udfvm_pool *udfvm_pool_create(udfvm_image *base, unsigned limit, const struct udfvm_files *files,
                              struct udfvm_error *error);

/* The walls around the process of a jailed VM. */
enum udfvm_wall {
    UDFVM_WALL_FILTER = 1,     /* of system calls: seccomp(2) */
    UDFVM_WALL_PRIVILEGES = 2, /* no new ones: PR_SET_NO_NEW_PRIVS; and no capabilities */
    UDFVM_WALL_LIMITS = 4,     /* setrlimit(2) */
    UDFVM_WALL_FILES = 8,      /* an empty file system: mount_namespaces(7) */
    UDFVM_WALL_NETWORK = 16,   /* an empty network: network_namespaces(7) */
    UDFVM_WALL_USER = 32,      /* a user of its own, who owns nothing */
    UDFVM_WALL_CGROUP = 64,    /* the cgroup that was given */
};
/* Jailed or not, each VM that the pool opens from now on: if it is, it runs in a process of its
 * own, and who breaks out of it is in there. Filter, privileges and limits stand around that, or
 * there is no VM (UDFVM_E_JAIL); the other walls where the system permits them. `cgroup` (may be
 * NULL) is a directory of cgroups(7) for these processes. A new pool is jailed where the
 * environment has UDFVM_JAIL=1. It takes no lock: call it before other threads use the pool. */
int udfvm_pool_jail(udfvm_pool *pool, int jailed, const char *cgroup, struct udfvm_error *error);
/* Each VM that the pool opens from now on has these data. The pool keeps a reference. It takes no
 * lock: call it once, before the pool has VMs. */
void udfvm_pool_set_data(udfvm_pool *pool, udfvm_data *data);
/* Finds out which walls stand on this system, by a process without a VM: a mask of
 * enum udfvm_wall. */
int udfvm_jail_probe(const char *cgroup, unsigned *walls, struct udfvm_error *error);

/* A VM at the sealed state of `image`. Waits up to wait_ns while all are busy (UDFVM_E_BUSY), but
 * not where all are in use by calls that this thread is in the middle of, in a host function or a
 * log sink: that would be for ever (os_errno is EDEADLK then). */
udfvm_vm *udfvm_pool_take(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns,
                          struct udfvm_error *error);
/* The same for a call that may take timeout_ns (0: any time), in which the wait is included:
 * UDFVM_E_TIMEOUT where it is over before a VM is free. A host function's calls wait no longer than
 * the call that it serves may take. */
udfvm_vm *udfvm_pool_take_in_time(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns,
                                  uint64_t timeout_ns, struct udfvm_error *error);
/* A new VM of the pool with other windows, for one call: it is closed when it is given back. It
 * counts as any other, waits as any other, and replaces an idle one where the limit is reached. */
udfvm_vm *udfvm_pool_take_windows(udfvm_pool *pool, udfvm_image *image,
                                  const struct udfvm_windows *windows, uint64_t wait_ns,
                                  uint64_t timeout_ns, struct udfvm_error *error);
/* What the caller itself waited for a VM, by trying again and again: it counts for the deadline of
 * its next call. */
void udfvm_vm_add_wait(udfvm_vm *vm, uint64_t waited_ns);
/* Returns a VM: restored if the caller did not, destroyed if that fails. Non-zero: it is idle now,
 * and has memory that udfvm_pool_shrink_old() would give back. */
int udfvm_pool_give(udfvm_pool *pool, udfvm_vm *vm);
/* The same, of a VM whose windows and scratch are given back at once: for embedders that look after
 * no idle VMs. */
int udfvm_pool_give_small(udfvm_pool *pool, udfvm_vm *vm);

/* Taking and giving for callers whom an exception can meet between any two steps: at each moment
 * the VM is in `held`, or not taken. */
struct udfvm_held {
    udfvm_pool *pool;
    udfvm_vm *vm; /* NULL: none */
    int borrowed; /* 1: its reply is, see udfvm_pool_borrow */
};
/* Takes a VM into `held`, which has none; `windows` (may be NULL) as for udfvm_pool_take_windows.
 */
int udfvm_pool_hold(struct udfvm_held *held, udfvm_pool *pool, udfvm_image *image,
                    const struct udfvm_windows *windows, uint64_t wait_ns, uint64_t timeout_ns,
                    struct udfvm_error *error);
int udfvm_pool_let_go(
    struct udfvm_held *held); /* as udfvm_pool_give; NULL, and none in it, are allowed */
/* A part of the VM's reply, as udfvm_vm_borrow() gives it, for the embedder to keep with `held`
 * until it lets go, on whatever thread that is: nothing of the embedder runs there. NULL: the reply
 * had better be copied, because that is faster, or the replies of too many of the pool's VMs are in
 * use; or it cannot be borrowed. */
void *udfvm_pool_borrow(struct udfvm_held *held, uint64_t begin, uint64_t length);

/* A whole fresh call: a VM is taken, called, the reply copied, the VM restored and given back. */
struct udfvm_pool_reply {
    void *output; /* for the reply, of `capacity` bytes: the caller sets both */
    uint64_t capacity;
    uint64_t rows;  /* for the call's report, set by the caller: see udfvm_vm_tell */
    uint64_t begun; /* when the caller's work for the call began, by udfvm_ticks(); 0: now */
    uint64_t length;
    int status;      /* UDFVM_STATUS_x */
    unsigned in_use; /* VMs of the pool that were in use during the call, this one included */
    int attend;      /* there will be idle VMs to trim or to shrink */
    udfvm_vm *kept;  /* where the reply is longer than `capacity`, the VM: read `data`, then give it
                        back; else NULL */
    const void *data;
};
int udfvm_pool_call(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, uint32_t request,
                    const void *input, uint64_t length, const struct udfvm_limits *limits,
                    struct udfvm_pool_reply *reply, struct udfvm_error *error);
/* The same with a request in parts, which are put together in the input window. */
int udfvm_pool_call_parts(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns, uint32_t request,
                          const struct iovec *parts, size_t count,
                          const struct udfvm_limits *limits, struct udfvm_pool_reply *reply,
                          struct udfvm_error *error);

/* Closes idle VMs until at most `keep` are left idle. */
void udfvm_pool_trim(udfvm_pool *pool, unsigned keep);
/* Closes VMs that have been idle for so long, but for the `keep` used last. Returns how many are
 * idle then. */
unsigned udfvm_pool_trim_old(udfvm_pool *pool, unsigned keep, uint64_t idle_ns);
/* VMs that have been idle for so long give back the memory that calls left, beyond what calls
 * usually write: zeroed pages of windows and scratch. What is more than 64 MiB is given back after
 * the call already. Returns how many idle VMs have such memory still. */
unsigned udfvm_pool_shrink_old(udfvm_pool *pool, uint64_t idle_ns);
/* How many VMs may be idle; when more are, those used longest ago are closed. 8 unless set. */
void udfvm_pool_set_idle(udfvm_pool *pool, unsigned max_idle);
/* No VM is taken from now on: who tries, or waits for one, fails with UDFVM_E_CLOSED. Idle VMs are
 * closed, others when they are given back. The references stay as they are. */
void udfvm_pool_shut(udfvm_pool *pool);

/* VMs of a pool: the most that there may be, those that exist, and those that are idle. */
struct udfvm_pool_statistics {
    unsigned limit, live, idle;
    unsigned borrowed; /* VMs in use whose replies are read: they do not compute */
};
void udfvm_pool_statistics(udfvm_pool *pool, struct udfvm_pool_statistics *statistics);
/* Why a VM of a pool began or ended. */
enum udfvm_vm_event {
    UDFVM_VM_STARTED,
    UDFVM_VM_ENDED_IDLE,    /* it was idle for too long */
    UDFVM_VM_ENDED_SURPLUS, /* more were idle than are kept */
    UDFVM_VM_ENDED_ROOM,    /* it was idle, and made room for one with larger windows */
    UDFVM_VM_ENDED_SHUT,    /* the pool is closed */
    UDFVM_VM_ENDED_ONCE,    /* it had larger windows, for one call */
    UDFVM_VM_ENDED_BROKEN,  /* it could not be put back, moved to another image, or shrunk */
    UDFVM_VM_ENDED_DIED,    /* its process ended */
};
struct udfvm_vm_notice {
    const udfvm_pool *pool;
    int event;  /* enum udfvm_vm_event */
    int jailed; /* it has a process of its own */
    uint64_t calls;
    uint64_t ns; /* it took to start; it has been there */
};
/* Sets what is called where a VM of a pool has started, or is about to be closed; NULL for nothing.
 * Those that go with their pool are not told. It may make calls; it must not fail. */
void udfvm_set_vm_hook(void (*hook)(const struct udfvm_vm_notice *notice));
/* Reports of jailed VMs lack what the restore found until the VM's process has said it: waits for
 * that, of VMs that are idle, a second at most. */
void udfvm_pool_settle(udfvm_pool *pool);
/* Bytes of memory that live VMs, idle or in use, have for themselves: private pages of this
 * process, swapped out or not, and of a jailed VM what its process has beyond pages of files.
 * Pages of the image that no call wrote are shared, and do not count; nor does what the kernel
 * keeps for a VM. Looks at an entry of the page map for each page of guest memory. */
int udfvm_pool_memory(udfvm_pool *pool, uint64_t *bytes, struct udfvm_error *error);
/* Gives one reference back (NULL is allowed). The pool is freed with its last reference and the
 * last VM taken from it. */
void udfvm_pool_close(udfvm_pool *pool);
udfvm_pool *udfvm_pool_retain(udfvm_pool *pool); /* one more reference */

/* ---- Stand-ins for VMs: the embedder answers in this process. NOTHING ISOLATES what runs so, and
 * nothing ends it: it is for tests of trusted code where there is no KVM. Pools of such images have
 * stand-ins in place of VMs, which are called as those are. ---- */

/* One exchange, which udfvm_in_process.answer makes. */
struct udfvm_in_process_call {
    udfvm_vm *vm;
    const uint8_t *image; /* digest of its image: 32 bytes */
    uint32_t request;     /* UDFVM_REQUEST_x */
    void *input;          /* struct udfvm_call, which says where the payload is */
    void *output;         /* the output window, for the reply */
    uint64_t end_ns;      /* its deadline, by udfvm_monotonic_ns; far away: it has none. It may be
                           * set: to load a function takes time that is not the call's */
    uint64_t load_end_ns; /* when loading must have ended, and whatever follows it */
    int sealed;           /* to be set, as in struct udfvm_reply, and so are the next two */
    int status;
    uint64_t length;
};
struct udfvm_in_process {
    void *context;
    /* Makes the exchange. Non-zero: the call was interrupted. */
    int (*answer)(void *context, struct udfvm_in_process_call *call);
    /* The next call of the VM begins at the image: nothing that is kept of it is used again. */
    void (*forget)(void *context, udfvm_vm *vm);
};
/* An image without pages, in memory; `program` must outlive it, and `base` (NULL for a base) is one
 * of the same program. */
udfvm_image *udfvm_image_in_process(const struct udfvm_in_process *program,
                                    const struct udfvm_config *config, const uint8_t digest[32],
                                    udfvm_image *base, const void *metadata, size_t metadata_length,
                                    struct udfvm_error *error);
/* For udfvm_in_process.answer alone: a call of a host function, as that of struct
 * udfvm_host_functions; and what was written to standard output (1) or error (2). Where they return
 * UDFVM_HOST_FUNCTION_FAILED, or non-zero, the call has failed: whatever is answered counts no
 * more. -EMSGSIZE: the reply is longer than `capacity`. */
int64_t udfvm_in_process_host_call(udfvm_vm *vm, const char *name, const void *arguments,
                                   uint64_t length, void *reply, uint64_t capacity);
int udfvm_in_process_print(udfvm_vm *vm, int stream, const char *text, size_t length);

/* ---- Time, bytes and text ---- */

/* The processor's time stamp counter. */
uint64_t udfvm_ticks(void);

/* Copies as memcpy() does, megabytes on two processors if there are two. */
void udfvm_copy(void *to, const void *from, size_t length);

/* Makes text of a guest (its errors, its output) fit to be shown. Control characters (terminal
 * escapes, NUL), direction marks and line separators are written out (\x1b, \u202e), except the
 * ASCII ones in `keep` ("\n\t", or "" for text of one line). Bytes that are not UTF-8 become
 * U+FFFD. Writes at most `capacity` bytes with the NUL; of longer text the head and the tail, with
 * a mark between them. Returns the length without the NUL. */
size_t udfvm_visible_text(const void *text, size_t length, const char *keep, char *out,
                          size_t capacity);

/* A number of bytes as text, in units that are powers of 1024: "1.4 MiB". */
struct udfvm_size {
    char text[32];
};
struct udfvm_size udfvm_format_size(uint64_t bytes);

/* ---- SHA-256 of bytes that come in parts. ---- */

/* SHA-256 (FIPS 180-4), incrementally. */
struct udfvm_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};
void udfvm_sha256_start(struct udfvm_sha256 *hash);
void udfvm_sha256_add(struct udfvm_sha256 *hash, const void *data, size_t length);
void udfvm_sha256_end(struct udfvm_sha256 *hash, uint8_t digest[32]);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
