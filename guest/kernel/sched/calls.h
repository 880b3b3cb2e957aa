/* The kernel's own system calls; those of the file system are in vfs/syscalls.h. */
#ifndef UDFVM_CALLS_H
#define UDFVM_CALLS_H

#include "kernel.h"

/* memory_calls.c */
syscall_function sys_mmap, sys_munmap, sys_mprotect, sys_mremap, sys_brk, sys_madvise, sys_mincore,
    sys_msync, sys_mlock, sys_mlockall;
/* thread.c, futex.c */
syscall_function sys_clone, sys_clone3, sys_fork, sys_exit, sys_exit_group, sys_sched_yield,
    sys_gettid, sys_set_tid_address, sys_set_robust_list, sys_futex;
/* signal.c, signal_frame.c */
syscall_function sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigpending, sys_rt_sigsuspend,
    sys_rt_sigtimedwait, sys_rt_sigqueueinfo, sys_rt_tgsigqueueinfo, sys_rt_sigreturn,
    sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill, sys_pause;
/* time.c */
syscall_function sys_clock_gettime, sys_clock_getres, sys_clock_settime, sys_gettimeofday, sys_time,
    sys_nanosleep, sys_clock_nanosleep;
/* random.c */
syscall_function sys_getrandom;
/* system.c */
syscall_function sys_uname, sys_sysinfo, sys_getpid, sys_getppid, sys_process_group, sys_setpgid,
    sys_user_id, sys_set_user_id, sys_getresuid, sys_getgroups, sys_getrlimit, sys_setrlimit,
    sys_prlimit64, sys_getrusage, sys_times, sys_prctl, sys_arch_prctl, sys_sched_getaffinity,
    sys_sched_setaffinity, sys_sched_getparam, sys_sched_getscheduler, sys_sched_setscheduler,
    sys_sched_priority_limit, sys_getcpu, sys_getpriority, sys_setpriority, sys_membarrier,
    sys_personality, sys_capget, sys_ioprio_get;
/* syscall.c */
syscall_function sys_socket;

#endif
