/* The filter of system calls: seccomp(2). What is not in the table ends the process. The program is
 * made from the table, and the core says itself what it asks of the hypervisor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "hypervisor.h"
#include "jail.h"

#define MAX_INSTRUCTIONS 256u
#define X32_CALLS        0x40000000u /* the numbers of another ABI of the same processor */

enum check {
    ANY,
    KNOWN_REQUEST, /* ioctl: what the core asks of the hypervisor */
    NOT_EXECUTABLE,
    OWN_THREAD,  /* clone: a thread of this process */
    OWN_PROCESS, /* tgkill */
    DUPLICATE,   /* fcntl: a descriptor of the same */
    ONLY_LOOKS,  /* prlimit64: without a new limit */
    ABSENT,      /* as on a kernel that has it not: glibc does without, unlike for the others */
};

/* In the order of how often calls make them. */
static const struct rule {
    uint32_t number;
    enum check check;
} rules[] = {
    /* every call */
    { SYS_ioctl, KNOWN_REQUEST },
    { SYS_futex, ANY },
    { SYS_getrandom, ANY },
    /* memory: of windows and images, of the allocator */
    { SYS_lseek, ANY },
    { SYS_madvise, ANY },
    { SYS_mmap, NOT_EXECUTABLE },
    { SYS_mprotect, NOT_EXECUTABLE },
    { SYS_munmap, ANY },
    { SYS_mremap, ANY },
    { SYS_brk, ANY },
    { SYS_sysinfo, ANY }, /* qsort() of glibc asks how much memory there is */
    /* deadlines: the watchdog, its signal and the answer to that */
    { SYS_rt_sigprocmask, ANY },
    { SYS_rt_sigaction, ANY },
    { SYS_rt_sigpending, ANY },
    { SYS_rt_sigtimedwait, ANY },
    { SYS_rt_sigreturn, ANY },
    { SYS_restart_syscall, ANY },
    { SYS_tgkill, OWN_PROCESS },
    { SYS_getpid, ANY },
    { SYS_gettid, ANY },
    { SYS_sched_yield, ANY },
    { SYS_sched_getaffinity, ANY },
    { SYS_clock_gettime, ANY }, /* where the vDSO has no clock: vdso(7) */
    { SYS_clock_nanosleep, ANY },
    /* threads */
    { SYS_clone, OWN_THREAD },
    { SYS_clone3, ABSENT }, /* its flags lie in memory, which no filter sees */
    { SYS_set_robust_list, ANY },
    { SYS_rseq, ANY },
    { SYS_exit, ANY },
    { SYS_exit_group, ANY },
    /* images: their descriptors, and writing one */
    { SYS_recvmsg, ANY },
    { SYS_close, ANY },
    { SYS_fstat, ANY },
    { SYS_newfstatat, ANY }, /* fstat() of glibc; there is no file system to look into */
    { SYS_fcntl, DUPLICATE },
    { SYS_pwritev, ANY },
    { SYS_ftruncate, ANY },
    { SYS_prlimit64, ONLY_LOOKS },
};

struct program {
    struct sock_filter code[MAX_INSTRUCTIONS];
    unsigned length;
};

static void add(struct program *program, uint16_t code, uint32_t value, uint8_t if_true,
                uint8_t if_false)
{
    if (program->length < MAX_INSTRUCTIONS)
        program->code[program->length] = (struct sock_filter){ code, if_true, if_false, value };
    program->length++;
}

static void load(struct program *program, size_t offset)
{
    add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end_with(struct program *program, uint32_t action)
{
    add(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Where the value is equal (or has any of the bits), skips `equal` instructions, else `other`. */
static void compare(struct program *program, uint32_t value, uint8_t equal, uint8_t other)
{
    add(program, BPF_JMP | BPF_JEQ | BPF_K, value, equal, other);
}

static void load_argument(struct program *program, unsigned number)
{
    load(program, offsetof(struct seccomp_data, args) + number * sizeof(uint64_t));
}

/* Allows the call if the low half of an argument, without the bits outside `mask`, is `value`. */
static void allow_if(struct program *program, unsigned argument, uint32_t mask, uint32_t value)
{
    load_argument(program, argument);
    add(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    compare(program, value, 0, 1);
    end_with(program, SECCOMP_RET_ALLOW);
    end_with(program, SECCOMP_RET_KILL_PROCESS);
}

static void allow_requests(struct program *program)
{
    size_t count;
    const uint32_t *known = udfvm_hypervisor_requests(&count);
    load_argument(program, 1);
    for (size_t i = 0; i < count; i++) /* to the allowance behind them */
        compare(program, known[i], (uint8_t)(count - i), 0);
    end_with(program, SECCOMP_RET_KILL_PROCESS);
    end_with(program, SECCOMP_RET_ALLOW);
}

static void allow_looks(struct program *program)
{
    load(program, offsetof(struct seccomp_data, args[2]) + 4);
    compare(program, 0, 0, 3);
    load_argument(program, 2);
    compare(program, 0, 0, 1);
    end_with(program, SECCOMP_RET_ALLOW);
    end_with(program, SECCOMP_RET_KILL_PROCESS);
}

static void add_check(struct program *program, enum check check)
{
    const uint32_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    switch (check) {
    case ANY:
        end_with(program, SECCOMP_RET_ALLOW);
        break;
    case KNOWN_REQUEST:
        allow_requests(program);
        break;
    case NOT_EXECUTABLE:
        allow_if(program, 2, PROT_EXEC, 0);
        break;
    case OWN_THREAD:
        allow_if(program, 0, thread, thread);
        break;
    case OWN_PROCESS:
        allow_if(program, 0, UINT32_MAX, (uint32_t)getpid());
        break;
    case DUPLICATE:
        allow_if(program, 1, UINT32_MAX, F_DUPFD_CLOEXEC);
        break;
    case ONLY_LOOKS:
        allow_looks(program);
        break;
    case ABSENT:
        end_with(program, SECCOMP_RET_ERRNO | ENOSYS);
    }
}

static void make_program(struct program *program)
{
    load(program, offsetof(struct seccomp_data, arch));
    compare(program, AUDIT_ARCH_X86_64, 1, 0);
    end_with(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
    add(program, BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
    end_with(program, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct program part = { .length = 0 };
        add_check(&part, rules[i].check);
        compare(program, rules[i].number, 0, (uint8_t)part.length);
        for (unsigned j = 0; j < part.length; j++)
            add(program, part.code[j].code, part.code[j].k, part.code[j].jt, part.code[j].jf);
    }
    end_with(program, SECCOMP_RET_KILL_PROCESS);
}

int install_filter(struct udfvm_error *error)
{
    static struct program program;
    make_program(&program);
    if (program.length > MAX_INSTRUCTIONS)
        return udfvm_fail(error, UDFVM_E_JAIL, "the filter of system calls is too long");
    const struct sock_fprog filter = { (unsigned short)program.length, program.code };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return udfvm_fail_errno(error, "installing a filter of system calls");
    return UDFVM_OK;
}
