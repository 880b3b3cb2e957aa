/* A stream: what the caller's thread (streaming.c) and the vCPU's (stream_thread.c) share. */
#ifndef UDFVM_CALL_STREAM_H
#define UDFVM_CALL_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "call/vcpu_thread.h"
#include "call/vm.h"

/* What the two threads tell each other, which may be of two processes. */
struct stream_words {
    /* Requests, replies: by the caller's thread. No fence follows the store of `accepted`, which
     * would cost some nanoseconds a row: the guest's reply says the same. */
    atomic_ulong posted, accepted;
    atomic_ulong posted_at;    /* time stamp of the last request */
    uint8_t apart[64];         /* what follows is in another cache line */
    atomic_bool parked, ended; /* by the vCPU's; ended: it is done, with an error */
    atomic_ulong logged;       /* bytes that the guest wrote in this call */
    atomic_bool asks;          /* waits for the caller's thread: with an errand, or from another
                                  process for JAIL_STREAM_SERVE, to ask for a file */
};

struct stream {
    struct udfvm_vm *vm;
    struct stream_words *words, own; /* its own, or those of both processes */
    /* By the caller's thread, which does not believe what the other process leaves there. */
    unsigned long posted, accepted;
    uint64_t posted_at;
    unsigned long logged; /* bytes that were asked for */
    pthread_t thread;
    atomic_int number; /* of the thread; 0: it has not begun, and sees the stop */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* By the vCPU's thread: the last request, where a look found it answered, and the time stamp of
     * that look. */
    unsigned long idle_number;
    uint64_t idle_since;
    atomic_bool stop;
    bool dormant;          /* with the lock: the thread ends, and the next request starts another */
    bool started;          /* there is a thread to join */
    bool has_processor;    /* by the vCPU's thread, while it lives */
    struct errand *errand; /* with the lock, by the vCPU's thread, which waits for its end */
    struct udfvm_error error;
    const struct udfvm_stream_reply *reply;
    uint64_t asked;  /* time stamp of the last look at the interrupt hook */
    uint8_t *buffer; /* the last reply, for the caller */
    uint64_t capacity;
};

/* A request was posted, and its reply not accepted: by the caller's thread. */
static inline bool stream_owes_reply(const struct stream *stream)
{
    return stream->posted != stream->accepted;
}

static inline uint64_t stream_ticks(const struct udfvm_vm *vm, uint64_t microseconds)
{
    return microseconds * vm->tsc_khz / 1000;
}

/* ---- stream_thread.c ---- */

/* A processor for one stream more; false: none is free. */
bool udfvm_stream_take_processor(void);
/* One even where none is free, for a stream that goes on. */
void udfvm_stream_force_processor(void);
void udfvm_stream_give_processor(void);
/* Starts the thread of a stream that took a processor. */
int udfvm_stream_start_thread(struct stream *stream, struct udfvm_error *error);
/* Makes the thread leave the guest, or its sleep, for good, and waits for its end. */
void udfvm_stream_stop_thread(struct stream *stream);
/* Has the caller's thread do something, as udfvm_outside does: on the vCPU's thread. */
bool udfvm_stream_outside(struct stream *stream, struct errand *errand);
/* Does it. */
int udfvm_stream_serve(struct stream *stream, struct udfvm_error *error);
/* The thread, which has ended, gives its processor back, if it still has it. */
void udfvm_stream_let_processor_go(struct stream *stream);
/* The time that an exchange may take, in ticks; 0: any time. */
uint64_t udfvm_stream_timeout_ticks(const struct udfvm_vm *vm);

#endif
