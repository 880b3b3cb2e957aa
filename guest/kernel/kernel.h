/* What every part of the guest kernel uses: types, pages, and definitions of system calls.
 * README.md has the order of the folders.
 *
 * There is one address space and one processor. The kernel is a library at ring 3 that the program
 * enters by `syscall`, by an exception or by a call. The host may interrupt the program, at any of
 * its instructions, but never the kernel. So nothing runs concurrently in the kernel: a thread
 * gives way only in block_until(), when a system call returns, and when the host interrupted it.
 */
#ifndef UDFVM_KERNEL_H
#define UDFVM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include <linux/errno.h>
#include <sys/syscall.h>

#include "udfvm_abi.h"

#define PAGE_SIZE UDFVM_PAGE_SIZE
#define PAGE_MASK (PAGE_SIZE - 1)

#define NANOSECONDS 1000000000ull /* in a second */

/* Mutable state that system calls use often lies together: each dirtied page is one more to restore
 * after a call. */
#define HOT_DATA __attribute__((section(".hot")))

static inline uint64_t page_up(uint64_t value)
{
    return (value + PAGE_MASK) & ~PAGE_MASK;
}
static inline uint64_t page_down(uint64_t value)
{
    return value & ~PAGE_MASK;
}
static inline uint64_t minimum(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}
static inline uint64_t maximum(uint64_t x, uint64_t y)
{
    return x > y ? x : y;
}

/* ---- System calls ----
 *
 * Every one has the same shape: six arguments, a value or a negative errno. Its definition enters
 * it into the dispatcher's table, at link time: whoever defines one needs no header of the
 * dispatcher, and the dispatcher none of theirs. Two definitions for one number do not link. */

typedef int64_t system_call_function(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                     uint64_t f);

struct system_call_entry {
    uint64_t number;
    system_call_function *function;
};

/* Begins the definition of a system call, by its name in <asm/unistd.h>. */
#define SYSTEM_CALL(name)                                                                 \
    static system_call_function sys_##name;                                               \
    SYSTEM_CALL_ALIAS(name, name);                                                        \
    static int64_t sys_##name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, \
                              uint64_t f)
/* The system call `alias` does the same as `name`, which is defined above. */
#define SYSTEM_CALL_ALIAS(alias, name)                 \
    const struct system_call_entry system_call_##alias \
        __attribute__((section(".system_calls"), aligned(16))) = { __NR_##alias, sys_##name }

#endif
