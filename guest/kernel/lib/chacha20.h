/* The ChaCha20 block function (RFC 8439, 2.3). */
#ifndef UDFVM_CHACHA20_H
#define UDFVM_CHACHA20_H

#include "kernel.h"

#define CHACHA20_BLOCK 64u

void chacha20_block(const uint8_t key[32], uint32_t counter, const uint8_t nonce[12],
                    uint8_t out[CHACHA20_BLOCK]);

#endif
