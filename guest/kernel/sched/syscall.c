/* The dispatcher and its table. */
#include "sched/calls.h"
#include "boot/seal.h"
#include "sched/thread.h"
#include "vfs/syscalls.h"

#define CALLS 460u

static HOT_DATA uint64_t served, trapped;

#define ENTRY(number, function) [number] = function,
static syscall_function *const table[CALLS] = {
#include "sched/table.inc"
#include "vfs/table.inc"
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

/* Called by entry.S with the program's registers saved; what is in them on return is what the
 * program continues with. */
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
