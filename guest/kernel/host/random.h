/* Random bytes of the call. */
#ifndef UDFVM_RANDOM_H
#define UDFVM_RANDOM_H

#include "kernel.h"

void random_bytes(void *buffer, size_t length);
/* From the seal on every call draws from its own seed. */
void random_prepare_seal(void);
/* In a deterministic call: the stream of random numbers starts anew. */
void random_begin_row(void);

#endif
