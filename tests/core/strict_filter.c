/* For hardened calls (UDFVM_HARDEN=1): the filter around the vCPU's threads ends the program where
 * it would refuse a system call, so that a test sees which ones are missing. By --wrap=syscall. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#include "variadic.h"

long __real_syscall(long, ...);
long __wrap_syscall(long number, ...);

static long install_strictly(long operation, long flags, const struct sock_fprog *filter)
{
    struct sock_filter code[256];
    const struct sock_fprog strict = { filter->len, code };
    memcpy(code, filter->filter, filter->len * sizeof *code);
    for (unsigned i = 0; i < filter->len; i++)
        if (code[i].code == (BPF_RET | BPF_K) && code[i].k == (SECCOMP_RET_ERRNO | EPERM))
            code[i].k = SECCOMP_RET_KILL_PROCESS;
    return __real_syscall(SYS_seccomp, operation, flags, &strict);
}

long __wrap_syscall(long number, ...)
{
    long arguments[6];
    READ_ARGUMENTS(arguments, number);
    if (number == SYS_seccomp)
        return install_strictly(arguments[0], arguments[1],
                                (const struct sock_fprog *)arguments[2]);
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}
