/* A jailed VM, on the program's side: what the files of this folder share. */
#ifndef UDFVM_JAIL_CELL_H
#define UDFVM_JAIL_CELL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "call/vm.h"
#include "jail/protocol.h"

#define MAX_JAIL_THREADS 8 /* an honest process has three */

struct cell {
    struct udfvm_vm vm; /* first: a VM like any other */
    struct jail_control *control;
    uint8_t *data;    /* of MAX_JAIL_DATA bytes, behind it */
    unsigned asked;   /* messages */
    bool pending;     /* the last is to be restored, and its answer was not looked at */
    bool in_doubt;    /* that follows a call that failed */
    bool broken;      /* the process died, was killed, or said what makes no sense */
    bool large;       /* the last has megabytes */
    bool expired;     /* the call's deadline passed */
    bool host_failed; /* the program's own callback ended the call: `failure` */
    struct udfvm_error failure;
    struct jail_answer answer; /* the last: a copy; of its message only what a failure needs */
    int socket, process;       /* the other end of its socket; pidfd_open(2) */
    struct jail_thread {
        int stat, schedstat; /* files in /proc */
        unsigned long runs;
    } threads[MAX_JAIL_THREADS]; /* those of the process; none: the files cannot be read */
    unsigned thread_count;
    pid_t pid;
    struct parting {
        uint64_t together; /* the weight of calls that began on one processor, in a row */
        unsigned patience; /* until it is moved after so much */
        bool moved;        /* for this call */
        cpu_set_t usual;   /* the processors that it has otherwise */
    } parting;
    unsigned walls;
    uint8_t known[JAIL_IMAGES][32]; /* digests of the images that it has open */
    unsigned next_known;
    uint8_t *buffer; /* the last reply, for the caller */
    uint64_t capacity;
    struct udfvm_vm_statistics counters;
    char *cgroup;          /* of the process; NULL: none */
    int output_file;       /* of the output window and scratch */
    bool frozen;           /* the process stands still, for a reply that is read in place */
    uint64_t input_joined; /* bytes of the input window that were made huge pages */
    uint64_t data_bytes;   /* of the files that the function was given; 0: none */
    uint64_t data_used;    /* bytes of `data` that a call may have left something in */
    struct borrowing {
        uint64_t from, to; /* of the output window; equal: nothing is borrowed */
        bool copied;       /* a copy took the window's place here, because of a fork */
        struct cell *following, **link;
    } borrowing;
};

static inline struct cell *cell_of(struct udfvm_vm *vm)
{
    return (struct cell *)vm;
}

/* ---- exchange.c ---- */

#define JAIL_SOON_NS  10000000000ull /* what takes longer, and never should, is given up */
#define JAIL_GRACE_NS 1000000000ull  /* past a deadline, before the process is killed */

/* Sends the message, with descriptors, and waits until it is answered. Serves what the process asks
 * for meanwhile. Past `end_ns` (UDFVM_NEVER: none) it is told to end the call (`cell->expired`),
 * and past the grace it is killed. So it is after an interrupt, if the user's call is what is
 * waited for (`of_user`). UDFVM_OK: there is an answer. */
int udfvm_cell_exchange(struct cell *cell, const struct jail_message *message, int *files,
                        uint64_t end_ns, bool of_user, struct udfvm_error *error);
/* The same for an operation that fails only where something is wrong with the process, which is
 * killed then. */
int udfvm_cell_operate(struct cell *cell, const struct jail_message *message, int *files,
                       uint64_t within_ns, struct udfvm_error *error);
/* Sends it alone: the next thing that is done with the cell waits for the answer. */
void udfvm_cell_send(struct cell *cell, const struct jail_message *message);
/* Waits for the first answer. */
int udfvm_cell_greet(struct cell *cell, struct udfvm_error *error);
/* Waits for what was sent alone. */
int udfvm_cell_settle(struct cell *cell, struct udfvm_error *error);
bool udfvm_cell_has_ended(const struct cell *cell);
/* Whether it was answered, without a wait. */
bool udfvm_cell_answered(const struct cell *cell);
void udfvm_cell_signal(const struct cell *cell, int number);
/* Kills the process: the call ends as one whose guest crashed. */
int udfvm_cell_break(struct cell *cell, const char *why, struct udfvm_error *error);

/* ---- client.c ---- */

/* A message that makes a call: of a kind, with the VM's limits. */
struct jail_message udfvm_cell_message(const struct udfvm_vm *vm, enum jail_request kind,
                                       uint32_t request, uint64_t length);
/* Makes the call. */
int udfvm_cell_call(struct cell *cell, struct jail_message *message, int *files,
                    struct udfvm_reply *reply, struct udfvm_error *error);

/* ---- renew.c ---- */

/* Another process takes the place of one that is broken, for a call that has not begun: with the
 * same image and data, and the request that lies in the input window. */
int udfvm_cell_renew(struct cell *cell, struct udfvm_error *error);

/* ---- images.c ---- */

int udfvm_cell_bind(struct udfvm_vm *vm, struct udfvm_image *image, struct udfvm_error *error);
int udfvm_cell_seal(struct udfvm_vm *vm, int fd, const uint8_t *name, const void *metadata,
                    size_t metadata_length, struct udfvm_error *error);

/* ---- events.c ---- */

/* Does what the process asks for in the answer; the next message. An error ends the call. */
int udfvm_cell_serve(struct cell *cell, struct jail_message *message, struct udfvm_error *error);

/* ---- reply.c ---- */

/* Makes a reply of the window one that the process cannot change. */
int udfvm_cell_keep_reply(struct cell *cell, struct udfvm_reply *reply, struct udfvm_error *error);
void *udfvm_cell_borrow(struct udfvm_vm *vm, uint64_t begin, uint64_t length,
                        struct udfvm_error *error);
/* What is borrowed is not any more, and nothing that was written to it is left. */
int udfvm_cell_end_borrowing(struct cell *cell, struct udfvm_error *error);
void udfvm_borrowing_forget(void);

/* ---- freeze.c ---- */

/* Of a process that has just begun. */
void udfvm_cell_watch_threads(struct cell *cell);
void udfvm_cell_forget_threads(struct cell *cell);
/* Waits until the process stands still, as it said that it would. */
int udfvm_cell_freeze(struct cell *cell, struct udfvm_error *error);
/* It goes on. */
void udfvm_cell_thaw(struct cell *cell);

/* ---- parting.c ---- */

/* Around a call with so long a request: a process that shares this thread's processor is moved. */
void udfvm_cell_begin_call(struct cell *cell, uint64_t length);
void udfvm_cell_end_call(struct cell *cell);
void udfvm_parting_forget(void);

/* ---- start.c ---- */

/* Starts the process, with its end of the socket and the control area. */
int udfvm_warden_start(int socket, int control, const char *cgroup, pid_t *pid, int *process,
                       struct udfvm_error *error);

#endif
