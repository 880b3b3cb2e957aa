/* The dispatcher and its table. */
#include "calls.h"
#include "seal.h"
#include "thread.h"
#include "vfs/syscalls.h"

#define CALLS 460u

static HOT_DATA uint64_t served, trapped;

#define ENTRY(number, function) [number] = function,
static syscall_function *const table[CALLS] = {
#include "vfs/table.inc"
    ENTRY(SYS_mmap, sys_mmap)
    ENTRY(SYS_munmap, sys_munmap)
    ENTRY(SYS_mprotect, sys_mprotect)
    ENTRY(SYS_mremap, sys_mremap)
    ENTRY(SYS_brk, sys_brk)
    ENTRY(SYS_madvise, sys_madvise)
    ENTRY(SYS_mincore, sys_mincore)
    ENTRY(SYS_msync, sys_msync)
    ENTRY(SYS_mlock, sys_mlock)
    ENTRY(SYS_mlock2, sys_mlock)
    ENTRY(SYS_munlock, sys_mlock)
    ENTRY(SYS_mlockall, sys_mlockall)
    ENTRY(SYS_munlockall, sys_mlockall)
    ENTRY(SYS_clone, sys_clone)
    ENTRY(SYS_clone3, sys_clone3)
    ENTRY(SYS_fork, sys_fork)
    ENTRY(SYS_exit, sys_exit)
    ENTRY(SYS_exit_group, sys_exit_group)
    ENTRY(SYS_sched_yield, sys_sched_yield)
    ENTRY(SYS_gettid, sys_gettid)
    ENTRY(SYS_set_tid_address, sys_set_tid_address)
    ENTRY(SYS_set_robust_list, sys_set_robust_list)
    ENTRY(SYS_futex, sys_futex)
    ENTRY(SYS_rt_sigaction, sys_rt_sigaction)
    ENTRY(SYS_rt_sigprocmask, sys_rt_sigprocmask)
    ENTRY(SYS_rt_sigpending, sys_rt_sigpending)
    ENTRY(SYS_rt_sigsuspend, sys_rt_sigsuspend)
    ENTRY(SYS_rt_sigtimedwait, sys_rt_sigtimedwait)
    ENTRY(SYS_rt_sigqueueinfo, sys_rt_sigqueueinfo)
    ENTRY(SYS_rt_tgsigqueueinfo, sys_rt_tgsigqueueinfo)
    ENTRY(SYS_rt_sigreturn, sys_rt_sigreturn)
    ENTRY(SYS_sigaltstack, sys_sigaltstack)
    ENTRY(SYS_kill, sys_kill)
    ENTRY(SYS_tkill, sys_tkill)
    ENTRY(SYS_tgkill, sys_tgkill)
    ENTRY(SYS_pause, sys_pause)
    ENTRY(SYS_clock_gettime, sys_clock_gettime)
    ENTRY(SYS_clock_getres, sys_clock_getres)
    ENTRY(SYS_clock_settime, sys_clock_settime)
    ENTRY(SYS_settimeofday, sys_clock_settime)
    ENTRY(SYS_gettimeofday, sys_gettimeofday)
    ENTRY(SYS_time, sys_time)
    ENTRY(SYS_nanosleep, sys_nanosleep)
    ENTRY(SYS_clock_nanosleep, sys_clock_nanosleep)
    ENTRY(SYS_getrandom, sys_getrandom)
    ENTRY(SYS_uname, sys_uname)
    ENTRY(SYS_sysinfo, sys_sysinfo)
    ENTRY(SYS_getpid, sys_getpid)
    ENTRY(SYS_getppid, sys_getppid)
    ENTRY(SYS_getpgrp, sys_process_group)
    ENTRY(SYS_getpgid, sys_process_group)
    ENTRY(SYS_getsid, sys_process_group)
    ENTRY(SYS_setsid, sys_process_group)
    ENTRY(SYS_setpgid, sys_setpgid)
    ENTRY(SYS_getuid, sys_user_id)
    ENTRY(SYS_geteuid, sys_user_id)
    ENTRY(SYS_getgid, sys_user_id)
    ENTRY(SYS_getegid, sys_user_id)
    ENTRY(SYS_setfsuid, sys_user_id)
    ENTRY(SYS_setfsgid, sys_user_id)
    ENTRY(SYS_setuid, sys_set_user_id)
    ENTRY(SYS_setgid, sys_set_user_id)
    ENTRY(SYS_getresuid, sys_getresuid)
    ENTRY(SYS_getresgid, sys_getresuid)
    ENTRY(SYS_getgroups, sys_getgroups)
    ENTRY(SYS_getrlimit, sys_getrlimit)
    ENTRY(SYS_setrlimit, sys_setrlimit)
    ENTRY(SYS_prlimit64, sys_prlimit64)
    ENTRY(SYS_getrusage, sys_getrusage)
    ENTRY(SYS_times, sys_times)
    ENTRY(SYS_prctl, sys_prctl)
    ENTRY(SYS_arch_prctl, sys_arch_prctl)
    ENTRY(SYS_sched_getaffinity, sys_sched_getaffinity)
    ENTRY(SYS_sched_setaffinity, sys_sched_setaffinity)
    ENTRY(SYS_sched_getparam, sys_sched_getparam)
    ENTRY(SYS_sched_getscheduler, sys_sched_getscheduler)
    ENTRY(SYS_sched_setscheduler, sys_sched_setscheduler)
    ENTRY(SYS_sched_get_priority_max, sys_sched_priority_limit)
    ENTRY(SYS_sched_get_priority_min, sys_sched_priority_limit)
    ENTRY(SYS_getcpu, sys_getcpu)
    ENTRY(SYS_getpriority, sys_getpriority)
    ENTRY(SYS_setpriority, sys_setpriority)
    ENTRY(SYS_membarrier, sys_membarrier)
    ENTRY(SYS_personality, sys_personality)
    ENTRY(SYS_capget, sys_capget)
    ENTRY(SYS_ioprio_get, sys_ioprio_get)
    ENTRY(SYS_socket, sys_socket)
};
#undef ENTRY

/* There is no network; the report of the build says that it was asked for. */
SYSCALL(sys_socket)
{
    count_unknown(SYS_socket);
    return -EAFNOSUPPORT;
}

uint64_t system_calls_served(void)
{
    return served;
}

uint64_t system_calls_trapped(void)
{
    return trapped;
}

/* Called by entry.S with the program's registers saved; what is in them on return is what the program continues with. */
void system_call(struct thread *thread)
{
    struct registers *user = &thread->user;
    const uint64_t number = user->rax;
    served++;
    trapped += thread->trapped == TRAPPED_SYSCALL;
    thread->call_number = number;
    thread->keep_registers = false;
    syscall_function *function = number < CALLS ? table[number] : NULL;
    int64_t result = -ENOSYS;
    if (function)
        result = function(user->rdi, user->rsi, user->rdx, user->r10, user->r8, user->r9);
    else
        count_unknown(number);
    if (!thread->keep_registers)
        user->rax = (uint64_t)result;
    thread_give_way();
    if (signal_is_pending(thread) || thread->suspended)
        signals_deliver(thread, result);
}
