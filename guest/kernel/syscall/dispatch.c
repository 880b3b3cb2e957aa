/* The dispatcher and its table. */
#include "syscall/dispatch.h"
#include "host/exit.h"
#include "host/seal_info.h"
#include "rewrite/object.h"
#include "signal/signal.h"

#define TABLE_SIZE 460u

void system_call(struct thread *thread); /* entry.S */

extern const struct system_call_entry system_calls_start[], system_calls_end[]; /* kernel.ld */

static HOT_DATA uint64_t served, trapped;
static system_call_function *table[TABLE_SIZE];

void system_calls_init(void)
{
    for (const struct system_call_entry *entry = system_calls_start; entry != system_calls_end;
         entry++) {
        if (entry->number >= TABLE_SIZE)
            kernel_panic("the table of system calls is too small");
        table[entry->number] = entry->function;
    }
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
    struct program_registers *user = &thread->user;
    const uint64_t number = user->rax;
    served++;
    trapped += thread->trapped == TRAPPED_SYSCALL;
    thread->call_number = number;
    thread->keep_registers = false;
    thread->never_restarts = thread->always_restarts = false;
    system_call_function *function = number < TABLE_SIZE ? table[number] : NULL;
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
