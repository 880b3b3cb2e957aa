/* The trivial function of `core_native`: a program that seals, and answers each request with the
 * sum of its two doubles. */
#include <stdint.h>

#include "udfvm_abi.h"

int main(void)
{
    void (*seal)(void) = (void (*)(void))UDFVM_VECTOR_SEAL;
    void (*complete)(uint64_t, uint64_t) = (void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE;
    const volatile double *arguments = (const volatile double *)UDFVM_INPUT_PAYLOAD;
    volatile double *result = (volatile double *)UDFVM_OUTPUT_BASE;
    seal();
    for (;;) {
        *result = arguments[0] + arguments[1];
        complete(UDFVM_STATUS_OK, sizeof *result);
    }
}
