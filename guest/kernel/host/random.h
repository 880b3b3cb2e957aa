/* Random bytes of the call. */
#ifndef UDFVM_RANDOM_H
#define UDFVM_RANDOM_H

#include "kernel.h"

void random_bytes(void *buffer, size_t length);
/* What AT_RANDOM points to. */
const uint8_t *random_auxiliary(void);
/* These bytes are those of the call from now on. */
void random_begin_call(void);
/* From the seal on every call draws from its own seed. */
void random_prepare_seal(void);
/* In a deterministic call: the stream of random numbers starts anew. */
void random_begin_row(void);

#endif
