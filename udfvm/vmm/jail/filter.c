/* The filter of system calls around a jailed VM. What is not in the table ends the process. The
 * core says itself what it asks of the hypervisor. */
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/filter.h"
#include "hypervisor.h"
#include "jail.h"

/* In the order of how often calls make them. */
static const struct filter_rule rules[] = {
    /* every call */
    { SYS_ioctl, FILTER_KNOWN_REQUEST },
    { SYS_futex, FILTER_ANY },
    { SYS_getrandom, FILTER_ANY },
    /* memory: of windows and images, of the allocator */
    { SYS_lseek, FILTER_ANY },
    { SYS_madvise, FILTER_ANY },
    { SYS_mmap, FILTER_NOT_EXECUTABLE },
    { SYS_mprotect, FILTER_NOT_EXECUTABLE },
    { SYS_munmap, FILTER_ANY },
    { SYS_mremap, FILTER_ANY },
    { SYS_brk, FILTER_ANY },
    { SYS_sysinfo, FILTER_ANY }, /* qsort() of glibc asks how much memory there is */
    /* deadlines: the watchdog, its signal and the answer to that */
    { SYS_rt_sigprocmask, FILTER_ANY },
    { SYS_rt_sigaction, FILTER_ANY },
    { SYS_rt_sigpending, FILTER_ANY },
    { SYS_rt_sigtimedwait, FILTER_ANY },
    { SYS_rt_sigreturn, FILTER_ANY },
    { SYS_restart_syscall, FILTER_ANY },
    { SYS_tgkill, FILTER_OWN_PROCESS },
    { SYS_getpid, FILTER_ANY },
    { SYS_gettid, FILTER_ANY },
    { SYS_sched_yield, FILTER_ANY },
    { SYS_sched_getaffinity, FILTER_ANY },
    { SYS_clock_gettime, FILTER_ANY }, /* where the vDSO has no clock: vdso(7) */
    { SYS_getcpu, FILTER_ANY },        /* the same */
    { SYS_clock_nanosleep, FILTER_ANY },
    /* threads */
    { SYS_clone, FILTER_OWN_THREAD },
    { SYS_clone3, FILTER_ABSENT }, /* its flags lie in memory, which no filter sees */
    { SYS_set_robust_list, FILTER_ANY },
    { SYS_rseq, FILTER_ANY },
    { SYS_exit, FILTER_ANY },
    { SYS_exit_group, FILTER_ANY },
    /* images: their descriptors, and writing one */
    { SYS_recvmsg, FILTER_ANY },
    { SYS_close, FILTER_ANY },
    { SYS_fstat, FILTER_ANY },
    { SYS_fcntl, FILTER_DUPLICATE },
    { SYS_pwritev, FILTER_ANY },
    { SYS_ftruncate, FILTER_ANY },
    { SYS_prlimit64, FILTER_ONLY_LOOKS },
};

/* In place of the C library's: glibc's asks by newfstatat(2), which takes paths. Where the system
 * does not permit the wall around files, that would say which files there are, and of what size. */
int fstat(int file, struct stat *status)
{
    return (int)syscall(SYS_fstat, file, status);
}

int install_filter(struct udfvm_error *error)
{
    struct filter filter = { rules, sizeof rules / sizeof *rules,
                             .refusal = SECCOMP_RET_KILL_PROCESS };
    filter.requests = udfvm_hypervisor_requests(&filter.request_count);
    return udfvm_filter_install(&filter, error);
}
