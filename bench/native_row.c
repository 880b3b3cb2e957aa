/* The trivial function of bench/sqlite.py: a program that seals, and answers each row with the sum
 * of its two REALs. */
#include <string.h>

#include "udfvm_abi.h"

int main(void)
{
    void (*seal)(void) = (void (*)(void))UDFVM_VECTOR_SEAL;
    void (*complete)(uint64_t, uint64_t) = (void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE;
    const volatile struct udfvm_row *row = (const volatile struct udfvm_row *)UDFVM_INPUT_PAYLOAD;
    const volatile struct udfvm_value *arguments = (const volatile struct udfvm_value *)(row + 1);
    seal();
    for (;;) {
        const struct udfvm_value sum = { .type = UDFVM_TYPE_FLOAT64,
                                         .real = arguments[0].real + arguments[1].real };
        memcpy((void *)UDFVM_OUTPUT_BASE, &sum, sizeof sum);
        complete(UDFVM_STATUS_OK, sizeof sum);
    }
}
