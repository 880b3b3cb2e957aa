/* What signal.c, signal_frame.c and fault.c share. */
#ifndef UDFVM_SIGNAL_H
#define UDFVM_SIGNAL_H

#include "sched/thread.h"

#define SIGNALS 64

struct signal_event {
    int number, code;
    uint64_t address; /* the address of a fault, or the value that came with the signal */
    int32_t sender;   /* or the id of the timer, where the code is SI_TIMER */
    int32_t overrun;  /* of that */
    const struct udfvm_trap *trap; /* the exception that caused it; NULL: a thread sent it */
};

static inline uint64_t signal_bit(int number)
{
    return 1ull << (number - 1);
}
#define SIGNALS_NEVER_BLOCKED (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

void signal_raise(int number); /* sends a signal to the current thread, as kill(2) would */
/* Sends a signal to a thread. With NULL it goes to the process. False: it is ignored. */
bool signal_send(struct thread *thread, int number, struct pending_signal info);
void signal_set_mask(struct thread *thread, uint64_t mask);
/* Ends the program, which this signal killed. */
noreturn void signal_die(struct thread *thread, const struct signal_event *event);
/* Makes the thread continue in the handler. If the frame does not fit the stack, the program
 * dies of SIGSEGV. */
void signal_push_frame(struct thread *thread, const struct sigaction *action,
                       const struct signal_event *event);

/* Until the system call ends, the thread has the signal mask at a program's address, as
 * sigsuspend(2) and ppoll(2) do. 0 or a negative errno. */
int64_t signal_mask_for_call(uint64_t address, uint64_t size);
/* Sends a signal to the process, as kill(2), or with the siginfo_t at a program's address. 0 or a
 * negative errno. */
int64_t signal_send_to_process(uint64_t number, uint64_t info);
/* Called before a system call returns. Delivers pending signals, and restarts an interrupted
 * call. */
void signals_deliver(struct thread *thread, int64_t result);
/* Delivers a signal that an instruction of the program caused. If the signal is blocked or
 * ignored, or has no handler, the program dies. */
void signal_force(struct thread *thread, int number, int code, uint64_t address,
                  const struct udfvm_trap *trap);

/* ---- pending.c ---- */

/* Adds a signal to those that wait. */
void pending_add(struct thread *thread, int number, const struct pending_signal *info);
/* Whether signals of this number would wait, but too many do. */
bool pending_is_full(struct thread *thread, int number);
/* Takes the lowest pending signal of `wanted`: of the thread's, or else of those of the process
 * that are `shared`. False: there is none. */
bool pending_take(struct thread *thread, uint64_t wanted, uint64_t shared,
                  struct signal_event *event);
/* Forgets all pending signals of a number. */
void pending_discard(int number);

/* ---- interval_timer.c, posix_timer.c ---- */

/* The signal of a timer was taken: its overrun. */
int32_t posix_timer_taken(int32_t id);
/* No call inherits these timers, as no child does: fork(2). */
void interval_timers_forget(void);
void posix_timers_forget(void);

#endif
