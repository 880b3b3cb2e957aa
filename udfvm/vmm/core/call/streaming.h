/* Streaming calls, as the rest of the core sees them. */
#ifndef UDFVM_CALL_STREAMING_H
#define UDFVM_CALL_STREAMING_H

#include <stdint.h>

#include "api.h"

struct stream_words;

/* The guest's wait for the next request before it exits, where nothing else was set. */
#define IDLE_SPIN_US     100u
#define MAX_IDLE_SPIN_US 1000000u

/* Ends the stream of a VM, if it has one. */
void udfvm_stream_end(struct udfvm_vm *vm);
/* For the process that a streaming call's vCPU is in, whose caller is another: begins one, with a
 * request in the input window. */
int udfvm_stream_begin(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                       const struct udfvm_limits *limits, struct stream_words *words,
                       struct udfvm_error *error);
/* There is a request for a thread that sleeps, or ended for want of one. */
int udfvm_stream_wake(struct udfvm_vm *vm, struct udfvm_error *error);
/* Why it ended; UDFVM_OK: it has not. */
int udfvm_stream_ended(const struct udfvm_vm *vm, struct udfvm_error *error);
/* In a forked child, which has no streams. */
void udfvm_stream_forget_processors(void);

#endif
