/* Signals, between signal.c, signal_frame.c and fault.c. */
#ifndef UDFVM_SIGNAL_H
#define UDFVM_SIGNAL_H

#include "sched/thread.h"

struct signal_event {
    int number, code;
    uint64_t address; /* of a fault, or the value that came with the signal */
    int32_t sender;
    const struct udfvm_trap *trap; /* of the exception that caused it; NULL: it was sent */
};

static inline uint64_t signal_bit(int number)
{
    return 1ull << (number - 1);
}
#define SIGNALS_NEVER_BLOCKED (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

void signal_set_mask(struct thread *thread, uint64_t mask);
/* Ends the program: it died of this signal. */
noreturn void signal_die(struct thread *thread, const struct signal_event *event);
/* Makes the thread continue in the handler; dies of SIGSEGV where the frame does not fit the stack.
 */
void signal_push_frame(struct thread *thread, const struct sigaction *action,
                       const struct signal_event *event);

/* Before a system call returns: runs what is pending, restarts what was interrupted. */
void signals_deliver(struct thread *thread, int64_t result);
/* A signal that the program caused by an instruction, or died of. */
void signal_force(struct thread *thread, int number, int code, uint64_t address,
                  const struct udfvm_trap *trap);

#endif
