/* Inside the kernel only. */
#ifndef UDFVM_RANDOM_H
#define UDFVM_RANDOM_H

#include "kernel.h"

void chacha20_block(const uint8_t key[32], uint32_t counter, const uint8_t nonce[12],
                    uint8_t out[64]);
/* Every call from the seal on draws from its own seed. */
void random_prepare_seal(void);
/* In a deterministic call: the stream of random numbers starts anew. */
void random_begin_row(void);

#endif
