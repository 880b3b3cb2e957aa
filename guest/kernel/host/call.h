/* The current call, as the host describes it at the start of the input window. */
#ifndef UDFVM_CALL_H
#define UDFVM_CALL_H

#include "kernel.h"

static inline const struct udfvm_call *call_page(void)
{
    return (const struct udfvm_call *)UDFVM_INPUT_BASE;
}

/* Every call has another one: it is read anew at each use. */
static inline uint64_t call_sequence(void)
{
    return ((const volatile struct udfvm_call *)call_page())->sequence;
}

/* The program's process id: every call has another one. */
static inline int32_t process_id(void)
{
    return (int32_t)call_page()->process_id;
}

#endif
