/* Threads and their cooperative scheduler: a thread runs until it waits, yields, or makes a system
 * call after having run for long. */
#include "sched/calls.h"
#include "arch/clock.h"
#include "arch/hypercall.h"
#include "mm/memory.h"
#include "sched/thread.h"
#include "vfs/vfs.h"

#include <linux/sched.h>

#define XSAVE_PAGES  3u /* XSAVE images have 11,008 bytes at most: Intel SDM 13.4, AMX included */
#define STACK_PAGES  8u
#define THREAD_PAGES (XSAVE_PAGES + STACK_PAGES)
#define STACK_MARK \
    0x6b63617473656e6full /* at the end of each kernel stack: gone when it overflowed */
#define SLICE_MICROSECONDS 5000u
#define SLICE_CALLS 64u /* in a deterministic call, whose scheduling must not depend on time */

HOT_DATA struct thread *current;
static HOT_DATA struct thread
    *departed; /* the last thread that ended: its stack was in use till the switch */
static HOT_DATA unsigned threads;
static HOT_DATA int32_t last_id;
static HOT_DATA unsigned calls_in_slice;

static uint64_t *stack_mark(const struct thread *thread)
{
    return (uint64_t *)(thread->xsave_area + XSAVE_PAGES * PAGE_SIZE);
}

static void release_departed(void)
{
    if (departed)
        page_free(departed->xsave_area, THREAD_PAGES);
    departed = NULL;
}

struct thread *thread_create(void)
{
    release_departed();
    uint8_t *block = page_alloc(THREAD_PAGES);
    if (!block)
        return NULL;
    struct thread *thread = (struct thread *)((uint64_t)(block + THREAD_PAGES * PAGE_SIZE -
                                                         sizeof(struct thread)) &
                                              ~63ull);
    thread->xsave_area = block;
    thread->kernel_stack_top = (uint64_t)thread;
    thread->id = last_id++;
    thread->deadline = NO_DEADLINE;
    thread->alternate_stack.ss_flags = SS_DISABLE;
    *stack_mark(thread) = STACK_MARK;
    uint64_t *frame = (uint64_t *)thread->kernel_stack_top -
                      7; /* six registers for switch_stacks(), then its return address */
    frame[6] = (uint64_t)start_thread;
    thread->kernel_rsp = (uint64_t)frame;
    threads++;
    return thread;
}

static void link_after(struct thread *thread, struct thread *before)
{
    thread->previous = before;
    thread->next = before->next;
    before->next->previous = thread;
    before->next = thread;
}

void threads_init(void)
{
    last_id = FIRST_THREAD;
    if (xsave_size() > XSAVE_PAGES * PAGE_SIZE)
        kernel_panic("the processor's XSAVE image is larger than the ABI allows");
    struct thread *thread = thread_create();
    if (!thread)
        kernel_panic("no memory for the first thread");
    thread->next = thread->previous = thread;
    current = thread;
}

unsigned thread_count(void)
{
    return threads;
}

int32_t process_id(void)
{
    return (int32_t)((const struct udfvm_call *)UDFVM_INPUT_BASE)->process_id;
}

/* The first thread bears the number of the process, as programs expect that ask whether they are in
 * it. The C library keeps the number that it was started with, which is good for it, too: see
 * thread_find(). */
int32_t current_tid(void)
{
    return current->id == FIRST_THREAD ? process_id() : current->id;
}

struct thread *thread_find(int32_t id)
{
    struct thread *thread = current;
    if (id == process_id())
        id = FIRST_THREAD;
    do {
        if (thread->id == id)
            return thread;
        thread = thread->next;
    } while (thread != current);
    return NULL;
}

uint64_t thread_processor_ns(const struct thread *thread)
{
    if (clock_is_fixed())
        return 0;
    return thread->processor_ns + (thread == current ? process_ns() - thread->resumed_at : 0);
}

/* ---- Switching ---- */

static void switch_to(struct thread *next)
{
    struct thread *self = current;
    const uint64_t now = process_ns();
    self->processor_ns += now - self->resumed_at;
    next->resumed_at = now;
    if (!self->dead) {
        xsave(self->xsave_area);
        self->fs_base = get_fs_base();
        self->gs_base = get_gs_base();
    }
    current = next;
    next->slice_start = time_stamp();
    calls_in_slice = 0;
    xrstor(next->xsave_area);
    set_fs_base(next->fs_base);
    set_gs_base(next->gs_base);
    switch_stacks(&self->kernel_rsp, next->kernel_rsp);
    release_departed();
}

static bool can_run(const struct thread *thread)
{
    if (!thread->ready || thread->ready(thread->ready_argument) || signal_is_pending(thread))
        return true;
    return thread->deadline != NO_DEADLINE && monotonic_ns() >= thread->deadline;
}

static struct thread *next_runnable(void)
{
    for (struct thread *thread = current->next; thread != current; thread = thread->next)
        if (can_run(thread))
            return thread;
    return NULL;
}

static noreturn void deadlock(void)
{
    struct udfvm_crash crash = { .rip = current->user.rip };
    struct thread *thread = current;
    size_t length = format(crash.text, sizeof crash.text, "%u thread%s:", threads,
                           threads == 1 ? "" : "s");
    do {
        if (!thread->dead)
            length += format(crash.text + length, sizeof crash.text - length,
                             " thread %d%s%s%s in system call %llu at 0x%llx;", thread->id,
                             thread->name[0] ? " (" : "", thread->name, thread->name[0] ? ")" : "",
                             (unsigned long long)thread->call_number,
                             (unsigned long long)thread->user.rip);
        thread = thread->next;
    } while (thread != current);
    crash.text_length = (uint32_t)length;
    vfs_flush();
    hypercall(UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_DEADLOCK, 0, (uint64_t)&crash, 0, 0);
    __builtin_unreachable();
}

/* No thread can run: the next thing to happen is a deadline. */
static void idle(void)
{
    uint64_t nearest = NO_DEADLINE;
    struct thread *thread = current;
    do {
        if (!thread->dead)
            nearest = minimum(nearest, thread->deadline);
        thread = thread->next;
    } while (thread != current);
    if (nearest == NO_DEADLINE)
        deadlock();
    clock_wait_until(nearest);
}

bool block_until(bool (*ready)(void *), void *argument, uint64_t deadline_ns)
{
    struct thread *self = current;
    for (;;) {
        if (ready(argument))
            return true;
        if (signal_is_pending(self) ||
            (deadline_ns != NO_DEADLINE && monotonic_ns() >= deadline_ns))
            return false;
        self->ready = ready;
        self->ready_argument = argument;
        self->deadline = deadline_ns;
        struct thread *next = next_runnable();
        if (next)
            switch_to(next);
        else
            idle();
        self->ready = NULL;
        self->deadline = NO_DEADLINE;
    }
}

bool interrupted(void)
{
    return signal_is_pending(current);
}

void thread_yield(void)
{
    struct thread *next = threads > 1 ? next_runnable() : NULL;
    if (next)
        switch_to(next);
}

bool thread_slice_is_over(void)
{
    if (threads == 1)
        return false;
    return clock_is_fixed()
               ? ++calls_in_slice >= SLICE_CALLS
               : time_stamp() - current->slice_start > microseconds_to_stamps(SLICE_MICROSECONDS);
}

void thread_give_way(void)
{
    if (*stack_mark(current) != STACK_MARK)
        kernel_panic("a kernel stack overflowed");
    if (!thread_slice_is_over())
        return;
    thread_yield();
    current->slice_start = time_stamp();
    calls_in_slice = 0;
}

void threads_begin_row(void)
{
    calls_in_slice = 0;
}

/* ---- Beginning and end ---- */

/* A fork that is none: the program goes on as the child, which is what it is in every call once it
 * is sealed. Its libraries do what they do in a child, such as to throw away the random numbers
 * that they keep. The C library takes other threads for dead, so there must be none. */
static bool child_to_come;

void thread_expect_child(void)
{
    child_to_come = true;
}

static int64_t become_child(uint64_t flags, uint64_t child_id)
{
    if (threads > 1)
        return -EAGAIN;
    if ((flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) &&
        !user_range_ok(child_id, sizeof(int32_t)))
        return -EFAULT;
    if (flags & CLONE_CHILD_SETTID)
        *(int32_t *)child_id = current_tid();
    if (flags & CLONE_CHILD_CLEARTID)
        current->clear_id_address = child_id;
    return 0;
}

static int64_t clone_thread(uint64_t flags, uint64_t stack, uint64_t parent_id, uint64_t child_id,
                            uint64_t tls)
{
    const uint64_t needed = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    if (!(flags & (CLONE_VM | CLONE_VFORK)) && child_to_come) {
        child_to_come = false;
        return become_child(flags, child_id);
    }
    if ((flags & needed) != needed || (flags & CLONE_VFORK)) {
        count_unknown(current->call_number); /* processes */
        return -ENOSYS;
    }
    if (((flags & CLONE_PARENT_SETTID) && !user_range_ok(parent_id, sizeof(int32_t))) ||
        ((flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) &&
         !user_range_ok(child_id, sizeof(int32_t))))
        return -EFAULT;
    if ((flags & CLONE_SETTLS) && tls >= ADDRESS_LIMIT)
        return -EPERM;
    struct thread *child = thread_create();
    if (!child)
        return -EAGAIN;
    child->user = current->user;
    child->user.rax = 0;
    if (stack)
        child->user.rsp = stack;
    child->fs_base = flags & CLONE_SETTLS ? tls : get_fs_base();
    child->gs_base = get_gs_base();
    child->blocked = current->blocked;
    memcpy(child->name, current->name, sizeof child->name);
    xsave(child->xsave_area);
    if (flags & CLONE_PARENT_SETTID)
        *(int32_t *)parent_id = child->id;
    if (flags & CLONE_CHILD_SETTID)
        *(int32_t *)child_id = child->id;
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_id_address = child_id;
    link_after(child, current->previous); /* last in turn */
    return child->id;
}

SYSCALL(sys_clone)
{
    return clone_thread(a, b, c, d, e);
}

SYSCALL(sys_fork)
{
    return clone_thread(0, 0, 0, 0, 0);
}

SYSCALL(sys_clone3)
{
    struct clone_args arguments = { .flags = 0 };
    if (b < CLONE_ARGS_SIZE_VER0 || b > PAGE_SIZE)
        return -EINVAL;
    if (!user_range_ok(a, b))
        return -EFAULT;
    memcpy(&arguments, (const void *)a, minimum(b, sizeof arguments));
    return clone_thread(arguments.flags, arguments.stack + arguments.stack_size,
                        arguments.parent_tid, arguments.child_tid, arguments.tls);
}

noreturn void process_exit(int status)
{
    struct udfvm_crash crash = { .rip = 0 };
    memory_describe_refusal(crash.text, sizeof crash.text);
    crash.text_length = (uint32_t)strlen(crash.text);
    vfs_flush();
    hypercall(UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_STATUS, (uint64_t)(status & 0xff), (uint64_t)&crash,
              0, 0);
    __builtin_unreachable();
}

noreturn void thread_exit(int status)
{
    struct thread *self = current, *next;
    if (threads == 1)
        process_exit(status);
    if (self->clear_id_address) {
        *(int32_t *)self->clear_id_address = 0;
        futex_wake(self->clear_id_address, 1);
    }
    self->dead = true;
    self->deadline = NO_DEADLINE;
    while (!(next = next_runnable()))
        idle();
    self->previous->next = self->next;
    self->next->previous = self->previous;
    threads--;
    release_departed();
    departed = self;
    switch_to(next);
    __builtin_unreachable();
}

SYSCALL(sys_exit)
{
    thread_exit((int)a);
}

SYSCALL(sys_exit_group)
{
    process_exit((int)a);
}

SYSCALL(sys_sched_yield)
{
    thread_yield();
    return 0;
}

SYSCALL(sys_gettid)
{
    return current_tid();
}

SYSCALL(sys_set_tid_address)
{
    current->clear_id_address = a;
    return current_tid();
}

SYSCALL(sys_set_robust_list)
{
    return b == 24 ? 0 : -EINVAL; /* threads that die holding a lock do not release it */
}
