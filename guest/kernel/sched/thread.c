/* Threads and their scheduler. A thread runs until it waits, yields, makes a system call after its
 * time slice, or is interrupted by the host after that.
 *
 * The host interrupts at the time that the kernel asks for, so a call with one thread asks for
 * none. In a deterministic call there are no interruptions: which thread runs must not depend on
 * time.
 */
#include "sched/thread.h"
#include "arch/entry.h"
#include "arch/processor.h"
#include "host/call.h"
#include "host/clock.h"
#include "host/exit.h"
#include "host/interrupt.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "sched/timer.h"

#define XSAVE_PAGES \
    3u /* an XSAVE image has at most 11,008 bytes, with AMX: Intel SDM volume 1, 13.4 */
#define STACK_PAGES  8u
#define THREAD_PAGES (XSAVE_PAGES + STACK_PAGES)
#define STACK_MARK \
    0x6b63617473656e6full /* at the end of each kernel stack; a stack overflow overwrites it */
#define SLICE_MICROSECONDS 5000u
#define SLICE_CALLS \
    64u /* slice of a deterministic call, whose scheduling must not depend on time */

HOT_DATA struct thread *current;
HOT_DATA uint64_t process_signals;
HOT_DATA const struct thread *first_thread;
static HOT_DATA struct thread
    *departed; /* the thread that ended last; its stack stays in use until the switch */
static HOT_DATA unsigned threads;
static HOT_DATA int32_t last_id;
static HOT_DATA unsigned calls_in_slice;
static HOT_DATA uint64_t due_ns; /* where there are several threads: the end of the slice, or the
                                    nearest deadline */

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
                      7; /* switch_stacks() pops six registers and a return address */
    frame[6] = (uint64_t)start_thread;
    thread->kernel_rsp = (uint64_t)frame;
    threads++;
    return thread;
}

static uint64_t nearest_deadline_of_others(void)
{
    uint64_t nearest = NO_DEADLINE;
    for (const struct thread *thread = current->next; thread != current; thread = thread->next)
        nearest = minimum(nearest, thread->deadline);
    return nearest;
}

static void begin_slice(void)
{
    current->slice_start = time_stamp();
    calls_in_slice = 0;
    if (threads > 1 && !clock_is_fixed())
        due_ns = minimum(monotonic_ns() + SLICE_MICROSECONDS * 1000ull,
                         nearest_deadline_of_others());
}

/* Asks for an interruption where others may have their turn. Whether they can run is seen then. */
static void ask_for_turn(void)
{
    const bool turns = threads > 1, timers = timers_armed();
    if ((turns || timers) && !clock_is_fixed())
        interrupt_at(
            minimum(turns ? due_ns : NO_DEADLINE, timers ? timers_due(true) : NO_DEADLINE));
}

void thread_start(struct thread *thread)
{
    struct thread *last = current->previous;
    thread->previous = last;
    thread->next = current;
    last->next = current->previous = thread;
    if (threads == 2) /* until now there were no slices */
        begin_slice();
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
    first_thread = current = thread;
}

unsigned thread_count(void)
{
    return threads;
}

/* The first thread's id equals the process id, because programs compare the two. The C library
 * keeps the id that it started with. That id stays valid too: see thread_find(). */
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
    begin_slice();
    ask_for_turn();
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
    size_t length = 0;
    do {
        if (!thread->dead)
            length += format(crash.text + length, sizeof crash.text - length,
                             "%sthread %d%s%s%s in system call %llu at 0x%llx", length ? ", " : "",
                             thread->id, thread->name[0] ? " (" : "", thread->name,
                             thread->name[0] ? ")" : "", (unsigned long long)thread->call_number,
                             (unsigned long long)thread->user.rip);
        thread = thread->next;
    } while (thread != current);
    crash.text_length = (uint32_t)length;
    host_exit(UDFVM_EXIT_DEADLOCK, 0, &crash);
}

/* No thread can run, so only a deadline or a timer can be the next event. */
static void idle(void)
{
    const uint64_t nearest = minimum(minimum(current->deadline, nearest_deadline_of_others()),
                                     timers_due(false));
    if (nearest == NO_DEADLINE)
        deadlock();
    interrupt_hold();
    clock_wait_until(nearest);
}

bool block_until(bool (*ready)(void *), void *argument, uint64_t deadline_ns)
{
    struct thread *self = current;
    for (;;) {
        timers_run();
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

static bool never(void *argument)
{
    return false;
}

void thread_sleep(uint64_t deadline_ns)
{
    block_until(never, NULL, deadline_ns);
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
    timers_run();
    if (thread_slice_is_over()) {
        thread_yield();
        begin_slice();
    }
    ask_for_turn();
}

/* Until the thread makes a system call, nothing but the clock makes others able to run. */
void thread_interrupted(void)
{
    struct thread *self = current;
    if (*stack_mark(self) != STACK_MARK)
        kernel_panic("a kernel stack overflowed");
    timers_run();
    struct thread *next = next_runnable();
    if (next && !signal_is_pending(self)) {
        switch_to(next);
        return;
    }
    begin_slice();
    interrupt_at(minimum(next ? due_ns : nearest_deadline_of_others(), timers_due(true)));
}

void threads_begin_call(void)
{
    timers_begin_call();
    if (threads > 1)
        begin_slice();
    ask_for_turn();
}

void threads_begin_row(void)
{
    calls_in_slice = 0;
}

static void forget_signals(struct thread *thread)
{
    while (thread->pending.more) {
        struct queued_signal *forgotten = thread->pending.more;
        thread->pending.more = forgotten->next;
        kernel_free(forgotten);
    }
}

noreturn void thread_leave(void)
{
    struct thread *self = current, *next;
    self->dead = true;
    forget_signals(self);
    if (self == first_thread)
        first_thread = NULL;
    self->deadline = NO_DEADLINE;
    while (!(next = next_runnable())) {
        idle();
        timers_run();
    }
    self->previous->next = self->next;
    self->next->previous = self->previous;
    if (--threads == 1)
        interrupt_hold();
    release_departed();
    departed = self;
    switch_to(next);
    __builtin_unreachable();
}
