/* Streaming calls, as the rest of the core sees them. */
#ifndef UDFVM_CALL_STREAMING_H
#define UDFVM_CALL_STREAMING_H

#include "api.h"

/* The guest's wait for the next request before it exits, where nothing else was set. */
#define IDLE_SPIN_US     100u
#define MAX_IDLE_SPIN_US 1000000u

/* Ends the stream of a VM, if it has one. */
void udfvm_stream_end(struct udfvm_vm *vm);
/* On the vCPU's thread, after a signal: UDFVM_OK to go on. */
int udfvm_stream_look(struct udfvm_vm *vm, struct udfvm_error *error);
/* In a forked child, which has no streams. */
void udfvm_stream_forget_processors(void);

#endif
