/* Each wall around the process of a jailed VM, from inside: a child builds it, as udfvm-jail does,
 * and tries what it is to prevent. Prints what holds and what failed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../udfvm/vmm/jail/jail.h"
#include "check.h"
#include "system_calls.h"

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

/* How a child ended: the signal, or 1000 and the status. */
static int ended(pid_t child)
{
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
}

/* ---- The filter ---- */

/* What a system call brings about behind the filter: SIGSYS, or 1000 and its errno (0: none). */
static int behind_filter(const long call[7])
{
    const pid_t child = fork();
    if (child == 0) {
        /* A child that is root has a right to install one; others must give up new privileges. */
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (install_filter(NULL) != UDFVM_OK)
            _exit(255);
        const long got = syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
        syscall(SYS_exit_group, got < 0 ? errno : 0);
    }
    return ended(child);
}

/* Files, sockets, programs, processes, memory of others, walls, kernel. */
static const long forbidden[] = {
    SYS_open,
    SYS_openat,
    SYS_openat2,
    SYS_creat,
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_sendfile,
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_sendmsg,
    SYS_sendto,
    SYS_accept4,
    SYS_stat,
    SYS_newfstatat,
    SYS_statx,
    SYS_access,
    SYS_readlink,
    SYS_execve,
    SYS_execveat,
    SYS_fork,
    SYS_vfork,
    SYS_ptrace,
    SYS_kill,
    SYS_tkill,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_pidfd_getfd,
    SYS_io_uring_setup,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_memfd_create,
    SYS_userfaultfd,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_prctl,
    SYS_seccomp,
    SYS_setuid,
    SYS_setresuid,
    SYS_capset,
    SYS_setrlimit,
    SYS_unlink,
    SYS_unlinkat,
    SYS_rename,
    SYS_chmod,
    SYS_fchmod,
    SYS_flock,
    SYS_fallocate,
    SYS_keyctl,
    SYS_add_key,
    SYS_shmget,
    SYS_msgget,
    SYS_init_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_modify_ldt,
    SYS_arch_prctl,
    SYS_personality,
    SYS_setpriority,
    SYS_wait4,
    SYS_dup2,
};

static void test_what_ends_the_process(void)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        const int end = behind_filter((const long[7]){ forbidden[i] });
        check(end == SIGSYS, "system call %ld: %d", forbidden[i], end);
    }
}

static void test_arguments_that_end_the_process(void)
{
    static const long calls[][7] = {
        { SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
        { SYS_mprotect, 0, 4096, PROT_EXEC },
        { SYS_ioctl, 0, TIOCSTI, 0 },
        { SYS_ioctl, 0, (long)KVM_CREATE_DEVICE, 0 },
        { SYS_ioctl, 0, (long)KVM_IRQFD, 0 },
        { SYS_clone, SIGCHLD },
        { SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD },
        { SYS_clone, CLONE_NEWUSER | SIGCHLD },
        { SYS_clone, THREAD | CLONE_NEWNET },
        { SYS_clone, THREAD | CLONE_PTRACE },
        { SYS_fcntl, 0, F_SETFL, O_NONBLOCK },
        { SYS_fcntl, 0, F_SETOWN, 1 },
        { SYS_tgkill, 1, 1, 0 },
        { SYS_prlimit64, 0, RLIMIT_AS, 1 },
        { SYS_sched_setscheduler, 0, SCHED_FIFO, 0 },
        { SYS_getpid | 0x40000000 },
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const int end = behind_filter(calls[i]);
        check(end == SIGSYS, "system call %ld with %ld, %ld, %ld: %d", calls[i][0], calls[i][1],
              calls[i][2], calls[i][3], end);
    }
    const int absent = behind_filter((const long[7]){ SYS_clone3 });
    check_number(absent == 1000 + ENOSYS, "clone3", absent);
}

/* Calls whose arguments the filter does not look at, or that fail as if there were none such: what
 * calls of functions need. The others of its table have arguments here that it refuses. */
static bool gets_through(long number)
{
    static const long numbers[] = {
        SYS_futex,
        SYS_getrandom,
        SYS_lseek,
        SYS_madvise,
        SYS_munmap,
        SYS_mremap,
        SYS_brk,
        SYS_sysinfo,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_rt_sigpending,
        SYS_rt_sigtimedwait,
        SYS_getpid,
        SYS_gettid,
        SYS_sched_yield,
        SYS_sched_getaffinity,
        SYS_clock_gettime,
        SYS_getcpu,
        SYS_clock_nanosleep,
        SYS_clone3,
        SYS_rseq,
        SYS_set_robust_list,
        SYS_exit_group,
        SYS_recvmsg,
        SYS_close,
        SYS_fstat,
        SYS_pwritev,
        SYS_ftruncate,
    };
    return is_among(number, numbers, LENGTH_OF(numbers));
}

/* No other number gets through, whatever it may be one day. */
static void test_the_filter_lets_few_through(void)
{
    for (long number = 0; number < CALLS; number++) {
        if (!comes_back(number))
            continue;
        /* Arguments that no check of the filter takes, and no call either. */
        const int end = behind_filter((const long[7]){ number, -1, -1, -1, -1, -1, -1 });
        check(gets_through(number) ? end >= 1000 : end == SIGSYS, "system call %ld: %d", number,
              end);
    }
}

/* The numbers of 32-bit programs mean other calls: 5 is open(2), and fstat(2) for others. */
static void test_no_other_entry_gets_through(void)
{
    int ends[2];
    for (int behind = 0; behind < 2; behind++) {
        const pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if (behind && install_filter(NULL) != UDFVM_OK)
                _exit(255);
            long number = 5;
            __asm__ volatile("int $0x80" : "+a"(number) : "b"(0), "c"(0), "d"(0) : "memory");
            syscall(SYS_exit_group, number < 0 ? (int)-number : 0);
        }
        ends[behind] = ended(child);
    }
    /* A kernel without that entry ends either by SIGSEGV. */
    check(ends[1] == SIGSYS || (ends[0] == SIGSEGV && ends[1] == SIGSEGV), "int 0x80: %d, %d",
          ends[0], ends[1]);
}

/* ---- The other walls ---- */

static unsigned walls;

static bool has_no_capability(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct found[2] = { { .effective = 1 } };
    return syscall(SYS_capget, &header, found) == 0 && !found[0].effective && !found[1].effective &&
           !found[0].permitted && !found[1].permitted &&
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool root_is_empty(void)
{
    DIR *root = opendir("/");
    int entries = 0;
    while (root && readdir(root))
        entries++;
    return root && entries == 2 && open("/etc/passwd", O_RDONLY) < 0 &&
           open("/dev/kvm", O_RDWR) < 0 && open("../../etc/passwd", O_RDONLY) < 0 &&
           mkdir("/made", 0700) < 0 && errno == EROFS;
}

static bool limits_stay(void)
{
    struct rlimit core, space;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_AS, &space);
    const struct rlimit more = { space.rlim_max + 4096, space.rlim_max + 4096 };
    return core.rlim_max == 0 && space.rlim_max == 1ull << 40 && setrlimit(RLIMIT_AS, &more) < 0;
}

static bool is_nobody(pid_t parent)
{
    uid_t real, effective, saved;
    getresuid(&real, &effective, &saved);
    return real != 0 && real == effective && real == saved && getegid() != 0 &&
           getgroups(0, NULL) == 0 && setuid(0) < 0 && kill(parent, 0) < 0 && errno == EPERM;
}

/* The bits of the walls that do not hold. */
static unsigned build_and_try(void)
{
    const struct jail_control control = { .address_space = 1ull << 40, .file_size = 1 << 20 };
    const pid_t parent = getppid();
    int signal_at_end = 0;
    if (build_walls(&control, parent, &walls, NULL) != UDFVM_OK)
        return 0xff;
    prctl(PR_GET_PDEATHSIG, &signal_at_end, 0, 0, 0);
    return (has_no_capability() ? 0 : UDFVM_WALL_PRIVILEGES) |
           (limits_stay() ? 0 : UDFVM_WALL_LIMITS) |
           (walls & UDFVM_WALL_FILES && !root_is_empty() ? UDFVM_WALL_FILES : 0) |
           (walls & UDFVM_WALL_USER && !is_nobody(parent) ? UDFVM_WALL_USER : 0) |
           (signal_at_end == SIGKILL && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 0x80u);
}

static void test_walls(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit((int)build_and_try());
    const int end = ended(child);
    check(end == 1000, "walls that do not hold: %#x", (unsigned)end - 1000);
}

/* Root builds all of them. */
static void test_which_walls_stand(void)
{
    const unsigned always = UDFVM_WALL_PRIVILEGES | UDFVM_WALL_LIMITS,
                   of_root = UDFVM_WALL_FILES | UDFVM_WALL_USER;
    const pid_t child = fork();
    if (child == 0) {
        build_and_try();
        _exit((int)walls);
    }
    const unsigned standing = (unsigned)ended(child) - 1000;
    check((standing & always) == always, "walls that stand: %#x", standing);
    check(geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || (standing & of_root) == of_root,
          "walls that root has: %#x", standing);
}

int main(void)
{
    static const struct test tests[] = {
        { "what ends the process", test_what_ends_the_process },
        { "arguments that end the process", test_arguments_that_end_the_process },
        { "the filter lets few through", test_the_filter_lets_few_through },
        { "no other entry gets through", test_no_other_entry_gets_through },
        { "walls", test_walls },
        { "which walls stand", test_which_walls_stand },
    };
    run_tests(tests, sizeof tests / sizeof *tests, NULL);
    return failures != 0;
}
