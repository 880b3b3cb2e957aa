/* Making a filter of system calls from a table: seccomp(2). */
#include "base/filter.h"

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

#define MAX_INSTRUCTIONS 256u
#define X32_CALLS        0x40000000u /* the numbers of another ABI of the same processor */

struct program {
    const struct filter *filter;
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
    end_with(program, program->filter->refusal);
}

static void allow_requests(struct program *program)
{
    const uint32_t *known = program->filter->requests;
    const size_t count = program->filter->request_count;
    load_argument(program, 1);
    for (size_t i = 0; i < count; i++) /* to the allowance behind them */
        compare(program, known[i], (uint8_t)(count - i), 0);
    end_with(program, program->filter->refusal);
    end_with(program, SECCOMP_RET_ALLOW);
}

static void allow_looks(struct program *program)
{
    load(program, offsetof(struct seccomp_data, args[2]) + 4);
    compare(program, 0, 0, 3);
    load_argument(program, 2);
    compare(program, 0, 0, 1);
    end_with(program, SECCOMP_RET_ALLOW);
    end_with(program, program->filter->refusal);
}

static void add_check(struct program *program, enum filter_check check)
{
    const uint32_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const uint32_t beside = CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                            CLONE_CHILD_CLEARTID | CLONE_DETACHED; /* by some C libraries */
    switch (check) {
    case FILTER_ANY:
        end_with(program, SECCOMP_RET_ALLOW);
        break;
    case FILTER_KNOWN_REQUEST:
        allow_requests(program);
        break;
    case FILTER_NOT_EXECUTABLE:
        allow_if(program, 2, PROT_EXEC, 0);
        break;
    case FILTER_OWN_THREAD:
        allow_if(program, 0, ~beside, thread);
        break;
    case FILTER_OWN_PROCESS:
        allow_if(program, 0, UINT32_MAX, (uint32_t)getpid());
        break;
    case FILTER_DUPLICATE:
        allow_if(program, 1, UINT32_MAX, F_DUPFD_CLOEXEC);
        break;
    case FILTER_ONLY_LOOKS:
        allow_looks(program);
        break;
    case FILTER_ABSENT:
        end_with(program, SECCOMP_RET_ERRNO | ENOSYS);
    }
}

static void make_program(struct program *program)
{
    load(program, offsetof(struct seccomp_data, arch));
    compare(program, AUDIT_ARCH_X86_64, 1, 0);
    end_with(program, program->filter->refusal);
    load(program, offsetof(struct seccomp_data, nr));
    add(program, BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
    end_with(program, program->filter->refusal);
    for (size_t i = 0; i < program->filter->count; i++) {
        const struct filter_rule *rule = &program->filter->rules[i];
        struct program part = { .filter = program->filter };
        add_check(&part, rule->check);
        compare(program, rule->number, 0, (uint8_t)part.length);
        for (unsigned j = 0; j < part.length; j++)
            add(program, part.code[j].code, part.code[j].k, part.code[j].jt, part.code[j].jf);
    }
    end_with(program, program->filter->refusal);
}

int udfvm_filter_install(const struct filter *filter, struct udfvm_error *error)
{
    struct program program = { .filter = filter };
    make_program(&program);
    const struct sock_fprog made = { (unsigned short)program.length, program.code };
    errno = E2BIG;
    if (program.length > MAX_INSTRUCTIONS ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &made) < 0)
        return udfvm_fail_errno(error, "installing a filter of system calls");
    return UDFVM_OK;
}
