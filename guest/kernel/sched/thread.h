/* Threads: registers, kernel stacks, switching, waiting. entry.S knows the offsets marked here.
 *
 * A thread owns one block of pages: its XSAVE area, then its kernel stack, with this struct at the
 * top of the stack's last page, so that a short system call dirties a single page.
 */
#ifndef UDFVM_THREAD_H
#define UDFVM_THREAD_H

#include "kernel.h"

#include <linux/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>

/* The program's registers, in the order of struct udfvm_crash. */
struct registers {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

struct pending_signal {
    int32_t code;
    int32_t sender;
    uint64_t value;
};

struct signal_queue { /* one pending signal of each number */
    uint64_t set;     /* bit n - 1: signal n */
    struct pending_signal info[64];
};

/* How a system call was entered. entry.S knows the values. */
enum trapped {
    TRAPPED_NOT = 0,     /* by a call of UDFVM_VECTOR_SYSCALL_FUNCTION: no `syscall` lies before its
                            return address */
    TRAPPED_SYSCALL = 1, /* by a `syscall` instruction */
    TRAPPED_DIRECT = 2,  /* at a `syscall` instruction, but around it: see rewrite/rewrite.h */
};

struct thread {
    struct registers user;     /* entry.S: 0 */
    uint64_t kernel_stack_top; /* entry.S: 144 */
    uint64_t
        restore_all; /* entry.S: 152; the program's RCX, R11 and flags count too: return by iretq */
    uint64_t trapped; /* entry.S: 160; enum trapped */

    struct thread *next, *previous; /* circular list of all threads */
    uint64_t kernel_rsp;            /* while switched out */
    uint64_t fs_base, gs_base;
    uint8_t *xsave_area;
    int32_t id;
    bool keep_registers; /* the system call has set user.rax itself */
    bool delivering;     /* the kernel is writing a signal frame */
    bool dead;
    char name[16];
    uint64_t call_number;      /* the system call it is in */
    uint64_t clear_id_address; /* CLONE_CHILD_CLEARTID */

    bool (*ready)(void *); /* what it waits for, in block_until(); NULL: nothing, it can run */
    void *ready_argument;
    uint64_t deadline;
    uint64_t slice_start; /* time stamp counter */
    uint64_t processor_ns,
        resumed_at; /* processor time till it was last switched in; process clock then */

    uint64_t blocked;        /* signal mask */
    uint64_t suspended_mask; /* the mask to go back to after sigsuspend */
    bool suspended;
    stack_t alternate_stack;
    struct signal_queue pending;
};

extern struct thread *current;

/* Pending signals of the process, which the first thread to run takes; bits as in struct
 * signal_queue. signal/ sets them, and they end waits. */
extern uint64_t process_signals;

static inline bool signal_is_pending(const struct thread *thread)
{
    return (thread->pending.set | process_signals) & ~thread->blocked;
}

#define NO_DEADLINE UINT64_MAX

enum { FIRST_THREAD = 2, SESSION_ID = 2, PARENT_ID = 1 };

void threads_init(void);
/* A new thread, which nobody runs yet; NULL when memory is out. */
struct thread *thread_create(void);
void thread_start(struct thread *thread); /* takes its turn, last of all */
/* The current thread ends; there are others. */
noreturn void thread_leave(void);
/* Lets another thread run that can; returns when it is this one's turn again. */
void thread_yield(void);
bool thread_slice_is_over(void); /* others wait and this thread has run for long */
/* After a system call: yields where the slice is over. */
void thread_give_way(void);
struct thread *thread_find(int32_t id);
unsigned thread_count(void);
void threads_begin_row(
    void); /* in a deterministic call: the first thread has its whole slice before it */
void thread_expect_child(void); /* the next fork() makes the program its own child */
uint64_t thread_processor_ns(const struct thread *thread);

/* Runs other threads until ready(argument). The deadline is in monotonic_ns(); NO_DEADLINE means
 * none. Returns false when it has passed, or when a signal for this thread is pending (then
 * interrupted() is true: return -EINTR). If no thread can ever continue, the kernel ends the call
 * as a deadlock. */
bool block_until(bool (*ready)(void *), void *argument, uint64_t deadline_ns);
/* Runs other threads until the deadline or a signal. */
void thread_sleep(uint64_t deadline_ns);
bool interrupted(void);
int32_t current_tid(void);

/* ---- futex.c ---- */
void futex_wake(uint64_t address, unsigned count);

#endif
