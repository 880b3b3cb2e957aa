/* The filter around threads that enter guests in hardened calls. The thread is one of the program's
 * process, and may hold locks of the allocator: so what is not in the table fails with EPERM, and
 * does not end it. */
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/filter.h"
#include "call/vcpu_thread.h"
#include "hypervisor.h"

/* In the order of how often calls make them. */
static const struct filter_rule rules[] = {
    /* every call */
    { SYS_ioctl, FILTER_KNOWN_REQUEST },
    { SYS_futex, FILTER_ANY },
    /* memory of the allocator, and the end of a thread */
    { SYS_mmap, FILTER_NOT_EXECUTABLE },
    { SYS_mprotect, FILTER_NOT_EXECUTABLE },
    { SYS_munmap, FILTER_ANY },
    { SYS_mremap, FILTER_ANY },
    { SYS_madvise, FILTER_ANY },
    { SYS_brk, FILTER_ANY },
    { SYS_getrandom, FILTER_ANY },
    { SYS_rseq, FILTER_ANY },
    { SYS_sigaltstack, FILTER_ANY }, /* which sanitizers give back */
    { SYS_exit, FILTER_ANY },
    /* deadlines: the watchdog's signal and the answer to that */
    { SYS_rt_sigprocmask, FILTER_ANY },
    { SYS_rt_sigpending, FILTER_ANY },
    { SYS_rt_sigtimedwait, FILTER_ANY },
    { SYS_rt_sigreturn, FILTER_ANY },
    { SYS_restart_syscall, FILTER_ANY },
    { SYS_sched_yield, FILTER_ANY },
    { SYS_clock_gettime, FILTER_ANY }, /* where the vDSO has no clock: vdso(7) */
    { SYS_getcpu, FILTER_ANY },        /* the same */
    /* open files of guests are at most half of the limit */
    { SYS_prlimit64, FILTER_ONLY_LOOKS },
};

int udfvm_vcpu_filter_install(struct udfvm_error *error)
{
    struct filter filter = { rules, sizeof rules / sizeof *rules,
                             .refusal = SECCOMP_RET_ERRNO | EPERM };
    filter.requests = udfvm_hypervisor_entry_requests(&filter.request_count);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return udfvm_fail_errno(error, "giving up new privileges");
    return udfvm_filter_install(&filter, error);
}
