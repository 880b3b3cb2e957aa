/* Threads: registers, kernel stacks, switching. Inside the kernel only; entry.S knows the offsets
 * marked there.
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

/* How a system call came in. entry.S knows the values. */
enum trapped {
    TRAPPED_NOT = 0,     /* by a call of UDFVM_VECTOR_SYSCALL_FUNCTION: no `syscall` lies before its
                            return address */
    TRAPPED_SYSCALL = 1, /* by a `syscall` instruction */
    TRAPPED_DIRECT = 2,  /* at a `syscall` instruction, but around it: see rewrite/syscalls.h */
};

struct thread {
    struct registers user;     /* entry.S: 0 */
    uint64_t kernel_stack_top; /* entry.S: 144 */
    uint64_t
        restore_all; /* entry.S: 152; the program's RCX, R11 and flags count too: return by iretq */
    uint64_t trapped; /* entry.S: 160; enum trapped */

    struct thread *next, *previous; /* ring of all threads */
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

#define ADDRESS_LIMIT \
    (1ull << 47) /* addresses below are canonical: loading them into FS base does not fault */

/* CPUID leaf 0xD: bytes of a standard-format XSAVE image of all that XCR0 enables. */
uint64_t xsave_size(void);
uint64_t xsave_components(void);   /* XCR0 */
uint32_t processor_features(void); /* CPUID leaf 1, EDX: AT_HWCAP */
void xsave(void *area);            /* aligned to 64 bytes */
void xrstor(const void *area);
uint64_t get_fs_base(void);
uint64_t get_gs_base(void);
void set_fs_base(uint64_t base);
void set_gs_base(uint64_t base);

void threads_init(void);
/* A new thread in the ring, not yet runnable to anywhere; NULL when memory is out. */
struct thread *thread_create(void);
/* Lets another thread run that can; returns when it is this one's turn again. */
void thread_yield(void);
bool thread_slice_is_over(void); /* others wait and this thread has run for long */
/* After a system call: yields where the slice is over. */
void thread_give_way(void);
noreturn void thread_exit(int status);
noreturn void process_exit(int status);
struct thread *thread_find(int32_t id);
unsigned thread_count(void);
void threads_begin_row(
    void); /* in a deterministic call: the first thread has its whole slice before it */
void thread_expect_child(void); /* the next fork() makes the program its own child */
uint64_t thread_processor_ns(const struct thread *thread);

/* ---- futex.c ---- */
void futex_wake(uint64_t address, unsigned most);

/* ---- entry.S ---- */
noreturn void enter_program(void); /* continues `current` with all of its registers */
void switch_stacks(uint64_t *save_rsp, uint64_t load_rsp);
void start_thread(void); /* where the kernel stack of a new thread begins */

/* ---- signal.c, signal_frame.c ---- */
bool signal_is_pending(const struct thread *thread);
/* Before a system call returns: runs what is pending, restarts what was interrupted. */
void signals_deliver(struct thread *thread, int64_t result);
/* A signal that the program caused by an instruction, or died of. */
void signal_force(struct thread *thread, int number, int code, uint64_t address,
                  const struct udfvm_trap *trap);

/* ---- syscall.c ---- */
void system_call(struct thread *thread);
void count_unknown(uint64_t number);

#endif
