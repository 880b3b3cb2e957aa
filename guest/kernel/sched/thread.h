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
struct program_registers {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

struct pending_signal {
    int32_t code;
    int32_t sender;
    uint64_t value;
};

struct queued_signal {
    struct queued_signal *next;
    int number;
    struct pending_signal info;
};

struct signal_queue { /* one pending signal of each number, and further real-time signals */
    uint64_t set;     /* bit n - 1: signal n */
    struct pending_signal info[64];
    struct queued_signal *more; /* oldest first */
};

/* How a system call was entered. entry.S knows the values. */
enum trapped {
    /* called through UDFVM_VECTOR_SYSCALL_FUNCTION: no `syscall` precedes the return address */
    TRAPPED_NOT = 0,
    TRAPPED_SYSCALL = 1, /* a `syscall` instruction trapped */
    TRAPPED_DIRECT = 2,  /* a trampoline replaced the `syscall`: see rewrite/rewrite.h */
};

struct thread {
    struct program_registers user; /* entry.S: 0 */
    uint64_t kernel_stack_top;     /* entry.S: 144 */
    /* entry.S: 152; RCX, R11 and the flags must be restored too, so return by iretq */
    uint64_t restore_all;
    uint64_t trapped; /* entry.S: 160; enum trapped */

    struct thread *next, *previous; /* circular list of all threads */
    uint64_t kernel_rsp;            /* saved while another thread runs */
    uint64_t fs_base, gs_base;
    uint8_t *xsave_area;
    int32_t id;
    bool keep_registers;  /* the system call has set user.rax itself */
    bool never_restarts;  /* a signal ends the system call even with SA_RESTART */
    bool always_restarts; /* it does not, even without */
    bool delivering;      /* the kernel is writing a signal frame */
    bool dead;
    char name[16];
    uint64_t call_number;      /* the current system call */
    uint64_t clear_id_address; /* CLONE_CHILD_CLEARTID */
    uint64_t robust_list;      /* struct robust_list_head: see robust.c */

    bool (*ready)(
        void *); /* the condition that block_until() waits for; NULL: the thread can run */
    void *ready_argument;
    uint64_t deadline;
    uint64_t slice_start; /* time stamp counter */
    /* processor time used before the last switch to it; the process clock at that switch */
    uint64_t processor_ns, resumed_at;

    uint64_t blocked;        /* signal mask */
    uint64_t suspended_mask; /* a call that waits with a mask of its own restores this one */
    bool suspended;
    stack_t alternate_stack;
    struct signal_queue pending;
};

extern struct thread *current;

/* Pending signals of the process; bits as in struct signal_queue. signal/ sets them, and they end
 * waits. */
extern uint64_t process_signals;
/* It takes them, as in Linux; those that it blocks, the first thread that runs. NULL: it ended. */
extern const struct thread *first_thread;

/* Signals of the process that the thread would take, if it does not block them. */
static inline uint64_t signals_for(const struct thread *thread)
{
    return thread == first_thread || !first_thread ? process_signals
                                                   : process_signals & first_thread->blocked;
}

static inline bool signal_is_pending(const struct thread *thread)
{
    return (thread->pending.set | signals_for(thread)) & ~thread->blocked;
}

#define NO_DEADLINE UINT64_MAX

enum { FIRST_THREAD = 2, SESSION_ID = 2, PARENT_ID = 1 };

void threads_init(void);
/* Creates a thread that does not run yet. Returns NULL if memory is out. */
struct thread *thread_create(void);
void thread_start(struct thread *thread); /* puts it at the end of the queue */
/* Ends the current thread. Other threads must exist. */
noreturn void thread_leave(void);
/* Lets the other runnable threads run. Returns at this thread's next turn. */
void thread_yield(void);
bool thread_slice_is_over(
    void); /* returns true if others can run and this thread has used up its slice */
/* Called after a system call. Yields if the slice is over. */
void thread_give_way(void);
/* The host interrupted the current thread: others have their turn. */
void thread_interrupted(void);
/* The first thread goes on in a call: it has a whole slice, in that call's time. */
void threads_begin_call(void);
struct thread *thread_find(int32_t id);
unsigned thread_count(void);
void threads_begin_row(void);   /* for a deterministic call: gives the first thread a whole slice */
void thread_expect_child(void); /* the next fork() makes the program its own child: see clone.c */
uint64_t thread_processor_ns(const struct thread *thread);

/* Runs other threads until ready(argument) is true. The deadline is a time of monotonic_ns(), or
 * NO_DEADLINE. Returns false if the deadline has passed, or if a signal for this thread is
 * pending. In that case interrupted() is true, and the caller returns -EINTR. If no thread can
 * ever continue, the kernel ends the call as a deadlock. */
bool block_until(bool (*ready)(void *), void *argument, uint64_t deadline_ns);
/* Runs other threads until the deadline or a signal. */
void thread_sleep(uint64_t deadline_ns);
bool interrupted(void);
int32_t current_tid(void);

/* ---- futex.c ---- */
void futex_wake(uint64_t address, unsigned count);

/* ---- robust.c ---- */
/* The locks that a thread holds as it ends say so, and those who wait for them go on. */
void robust_locks_release(struct thread *thread);

#endif
