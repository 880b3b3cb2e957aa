/* What tests of filters try: every number of a system call. */
#ifndef UDFVM_TEST_SYSTEM_CALLS_H
#define UDFVM_TEST_SYSTEM_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

#define CALLS 480

#define LENGTH_OF(numbers) (sizeof(numbers) / sizeof *(numbers))

static inline bool is_among(long number, const long *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/* Others end who calls them, go on with another call, or are seen by no filter: uretprobe (335) and
 * uprobe (336), for Linux, kernel/seccomp.c and arch/x86/kernel/uprobes.c. */
static inline bool comes_back(long number)
{
    static const long others[] = { SYS_rt_sigreturn, SYS_exit, SYS_restart_syscall, 335, 336 };
    return !is_among(number, others, LENGTH_OF(others));
}

#endif
