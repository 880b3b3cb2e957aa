/* Hypercalls to the host. */
#ifndef UDFVM_HYPERCALL_H
#define UDFVM_HYPERCALL_H

#include <stdint.h>

#include "udfvm_abi.h"

/* The host reads and writes memory that the arguments point to. */
static inline int64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    int64_t result = (int64_t)number;
    __asm__ volatile("outb %%al, %1"
                     : "+a"(result)
                     : "N"(UDFVM_PORT), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "memory", "cc");
    return result;
}

#endif
