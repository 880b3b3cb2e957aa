/* The exchange with the host, as every runtime sees it: the call page, and the guest kernel's
 * entries for the seal and the end of an exchange. */
#ifndef UDFVM_SHARED_EXCHANGE_H
#define UDFVM_SHARED_EXCHANGE_H

#include <stdint.h>

#include "udfvm_abi.h"

/* How an exchange ends; the reply's bytes are in the output window. */
struct answer {
    uint64_t status, length;
};

static inline const struct udfvm_call *exchange_call(void)
{
    return (const struct udfvm_call *)UDFVM_INPUT_BASE;
}

/* The payload of the request: exchange_call()->length bytes. */
static inline const uint8_t *exchange_payload(void)
{
    return (const uint8_t *)UDFVM_INPUT_BASE + exchange_call()->payload;
}

/* Ends the build phase; returns at the beginning of each call. */
static inline void exchange_seal(void)
{
    ((void (*)(void))UDFVM_VECTOR_SEAL)();
}

static inline void exchange_complete(struct answer answer)
{
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(answer.status, answer.length);
}

#endif
