/* What a program and the process of a jailed VM say to each other.
 *
 * Both map one file of memory: the control area, and behind it data of up to MAX_JAIL_DATA bytes.
 * They take turns: each message of the program has one answer. An answer may ask the program for
 * something (a host function, a file, to take output); the next message is then what it got. The
 * windows of the VM are two more files of memory, which the guest's requests and replies lie in, so
 * that they cross without a copy.
 *
 * Descriptors come by a socket, with one byte, before the message that speaks of them.
 *
 * The process may have been taken over by its guest. Whatever it writes is therefore hostile to the
 * program, which copies it once and checks the copy. What the program writes is trusted.
 */
#ifndef UDFVM_JAIL_PROTOCOL_H
#define UDFVM_JAIL_PROTOCOL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "udfvm_abi.h"

#include "api.h"
#include "base/baton.h"
#include "call/stream.h"

#define JAIL_VERSION     0x4a41494c00000002ull
#define JAIL_NAME_BYTES  256u /* of data, for the name of a host function */
#define MAX_JAIL_DATA    (JAIL_NAME_BYTES + (uint64_t)UDFVM_MAX_HOST_MESSAGE)
#define JAIL_DATA_OFFSET 4096u      /* of the file that begins with struct jail_control */
#define MIN_FROZEN     (1ull << 20) /* bytes of a reply in place: a shorter one is copied faster */
#define JAIL_IMAGES    8u           /* images of one base that the process keeps open */
#define MAX_JAIL_FILES 4u           /* descriptors with one message */

/* Descriptors that the process begins with. */
#define JAIL_SOCKET  3
#define JAIL_CONTROL 4

/* What the program asks for. */
enum jail_request {
    JAIL_OPEN = 1, /* opens the VM; files: base image, input window, output window */
    JAIL_BOOT,     /* boots one, with a request in the input window; files: guest kernel, windows */
    JAIL_DATA,     /* the VM's data; file: one of `bytes`, at `slot`; data: its name; the last gives
                      all to the VM */
    JAIL_BIND,     /* moves it to an image; file: of the image, if `files` is 1 */
    JAIL_CALL,     /* an exchange; the request lies in the input window */
    JAIL_RESTORE,
    JAIL_DROP,         /* gives the memory of windows and scratch back */
    JAIL_SHRINK,       /* gives back all that calls left */
    JAIL_SEAL,         /* file: to write the image to; data: name, if `named`, then metadata */
    JAIL_STREAM,       /* begins a streaming call, with a request in the input window */
    JAIL_WAKE,         /* there is a request for the thread of the vCPU, which sleeps */
    JAIL_STREAM_SERVE, /* the thread of the vCPU may ask for what it waits for */
    JAIL_STREAM_LOG,   /* what the guest wrote in it is asked for */
    JAIL_STREAM_END,   /* ends it, and says why it ended by itself, if it did */
    JAIL_GOT,          /* what the process asked for */
};

/* What it answers, or asks for. */
enum jail_reply {
    JAIL_READY = 1, /* the first answer, to no message: walls stand, or `code` */
    JAIL_DONE,
    JAIL_HOST_CALL, /* data: name with a NUL, then `length` bytes of arguments; at most `values[0]`
                       bytes go back, behind the name */
    JAIL_LOG,       /* data: `length` bytes that the guest wrote to stream `values[0]` */
    JAIL_FILE_OPEN, /* data: path with a NUL; also of the next; the status goes back as data */
    JAIL_FILE_STAT, /* values[0]: follow */
    JAIL_FILE_READ, /* values: handle, offset; at most `length` bytes go back */
    JAIL_FILE_CLOSE,
    JAIL_FILE_LIST, /* values[0]: first */
    JAIL_FILE_READLINK,
};

/* By the program. */
struct jail_message {
    uint32_t kind; /* enum jail_request */
    uint32_t files;
    /* CALL, BOOT, STREAM */
    uint32_t request;
    uint32_t reads_files, deterministic, strict_log, host_functions, named;
    uint64_t length;     /* of the request; SEAL: of the metadata; GOT: of the data */
    uint32_t may_stop;   /* after its answer, until SIGCONT */
    uint64_t timeout_ns; /* STREAM; the program keeps the deadline of other calls */
    uint64_t max_output, reply_frame, max_log, max_host_calls;
    uint64_t end_ns; /* STREAM: see udfvm_vm_set_end, udfvm_vm_set_idle_spin */
    uint32_t idle_spin_us;
    /* OPEN, BOOT, BIND */
    uint64_t offset, bytes; /* of the image in its file; BOOT: of the kernel */
    struct udfvm_config config;
    uint32_t slot; /* of JAIL_IMAGES: where the image is kept */
    uint32_t failed;
    int64_t result; /* GOT */
};

/* By the process. */
struct jail_answer {
    uint32_t kind; /* enum jail_reply */
    int32_t code, os_errno, signal;
    int32_t status, sealed;
    uint32_t unlogged_open, large;
    uint32_t stops; /* the process, until SIGCONT: it will not change its reply */
    uint64_t length, address, rip;
    uint64_t values[2];
    uint32_t walls, tsc_khz; /* READY; OPEN */
    uint64_t exits, restores, hot_pages, pages_copied;
    uint64_t put_back,
        written;       /* by the last restore: pages, and bytes that the call wrote at most */
    char message[480]; /* of a failure */
};

struct jail_control {
    /* By the program. */
    uint64_t version;
    uint64_t address_space;         /* bytes that the process may map */
    uint64_t file_size;             /* bytes of the largest file that it may write */
    alignas(64) struct baton asked; /* messages */
    atomic_uint stop;               /* the call is to end */
    struct jail_message message;
    /* By the process. */
    alignas(64) struct baton answered;
    atomic_uint taken; /* the last message that it has seen */
    struct jail_answer answer;
    /* Of a streaming call: by each what call/stream.h says. */
    struct stream_words stream;
};
_Static_assert(sizeof(struct jail_control) <= JAIL_DATA_OFFSET, "data begin behind it");

/* ---- The warden, which starts the processes of one program and is their parent ---- */

/* A byte asks for one. Files: JAIL_SOCKET and JAIL_CONTROL of the process, then, where there is
 * one, the directory of its cgroup. */
struct warden_answer {
    int32_t error; /* errno */
    int32_t pid;   /* with a descriptor of it (pidfd_open(2)) */
};

#endif
