/* Signals: dispositions, masks, sending and delivery. They come only from the program's
 * instructions, threads and timers. */
#include "signal/signal.h"
#include "host/call.h"
#include "host/exit.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/report.h"
#include "mm/user.h"
#include "sched/time.h"

static struct sigaction actions[SIGNALS + 1];

/* Signals that do nothing by default. Those that stop a process are here too, because nothing
 * could continue the program. */
#define IGNORED_BY_DEFAULT                                                   \
    (1ull << (SIGCHLD - 1) | 1ull << (SIGURG - 1) | 1ull << (SIGWINCH - 1) | \
     1ull << (SIGCONT - 1) | 1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) | \
     1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1))

static bool is_ignored(int number)
{
    const __sighandler_t handler = actions[number].sa_handler;
    return handler == SIG_IGN || (handler == SIG_DFL && (IGNORED_BY_DEFAULT & signal_bit(number)));
}

void signal_set_mask(struct thread *thread, uint64_t mask)
{
    thread->blocked = mask & ~SIGNALS_NEVER_BLOCKED;
}

bool signal_send(struct thread *thread, int number, struct pending_signal info)
{
    const uint64_t blocked = thread ? thread->blocked : current->blocked;
    if (is_ignored(number) && !(blocked & signal_bit(number)))
        return false;
    pending_add(thread, number, &info);
    return true;
}

void signal_raise(int number)
{
    signal_send(current, number,
                (struct pending_signal){ .code = SI_USER, .sender = process_id() });
}

noreturn void signal_die(struct thread *thread, const struct signal_event *event)
{
    struct udfvm_crash crash = {
        .address = event->trap ? event->address : 0,
        .rip = thread->user.rip,
        .rflags = thread->user.rflags,
        .signal_code = (uint32_t)event->code,
    };
    memcpy(crash.registers, &thread->user, sizeof crash.registers);
    if (memory_in_stack_guard(thread->user.rsp) || memory_in_stack_guard(crash.address))
        format(crash.text, sizeof crash.text, "the stack overflowed");
    else
        memory_describe_refusal(crash.text, sizeof crash.text);
    if (crash.text[0] == 0)
        memory_describe(thread->user.rip, crash.text, sizeof crash.text);
    crash.text_length = (uint32_t)strlen(crash.text);
    host_exit(UDFVM_EXIT_SIGNAL, (uint64_t)event->number, &crash);
}

static void handle(struct thread *thread, const struct signal_event *event)
{
    struct sigaction *action = &actions[event->number];
    const struct sigaction copy = *action;
    if (action->sa_flags & SA_RESETHAND)
        action->sa_handler = SIG_DFL;
    signal_push_frame(thread, &copy, event);
    uint64_t mask = thread->blocked | copy.sa_mask;
    if (!(copy.sa_flags & SA_NODEFER))
        mask |= signal_bit(event->number);
    signal_set_mask(thread, mask);
}

void signal_force(struct thread *thread, int number, int code, uint64_t address,
                  const struct udfvm_trap *trap)
{
    const struct signal_event event = {
        .number = number, .code = code, .address = address, .trap = trap
    };
    const __sighandler_t handler = actions[number].sa_handler;
    if ((thread->blocked & signal_bit(number)) || handler == SIG_DFL || handler == SIG_IGN)
        signal_die(thread, &event);
    handle(thread, &event);
}

/* These calls end with EINTR even if the handler has SA_RESTART: signal(7). */
static bool never_restarts(const struct thread *thread)
{
    static const uint16_t calls[] = {
        SYS_pause,    SYS_rt_sigsuspend,   SYS_rt_sigtimedwait, SYS_nanosleep,
        SYS_poll,     SYS_clock_nanosleep, SYS_ppoll,           SYS_select,
        SYS_pselect6, SYS_epoll_wait,      SYS_epoll_pwait,     SYS_epoll_pwait2,
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i] == thread->call_number)
            return true;
    return thread->never_restarts;
}

static void restart(struct thread *thread)
{
    thread->user.rip -= 2; /* the length of `syscall` */
    thread->user.rax = thread->call_number;
}

/* Returns true if a signal ended the system call, and the program may make it again. */
static bool can_restart(const struct thread *thread, int64_t result)
{
    return result == -EINTR && thread->trapped != TRAPPED_NOT && !thread->keep_registers;
}

static bool handler_permits_restart(const struct thread *thread, const struct sigaction *action)
{
    return thread->always_restarts || ((action->sa_flags & SA_RESTART) && !never_restarts(thread));
}

/* A mask that held for the call alone ends with it. A handler that ended the call has it in its
 * frame, to go back to. */
static void end_mask_for_call(struct thread *thread, bool handled)
{
    if (thread->suspended && !handled)
        signal_set_mask(thread, thread->suspended_mask);
    thread->suspended = false;
}

void signals_deliver(struct thread *thread, int64_t result)
{
    struct signal_event event;
    bool restartable = can_restart(thread, result), handled = false;
    if (result != -EINTR) /* what the call was for came before any signal */
        end_mask_for_call(thread, false);
    while (pending_take(thread, ~thread->blocked, signals_for(thread), &event)) {
        if (is_ignored(event.number))
            continue;
        if (actions[event.number].sa_handler == SIG_DFL)
            signal_die(thread, &event);
        if (restartable && handler_permits_restart(thread, &actions[event.number]))
            restart(thread);
        restartable = false;
        handled = true;
        handle(thread, &event);
    }
    if (restartable && !handled && thread->call_number != SYS_rt_sigtimedwait)
        restart(thread);
    end_mask_for_call(thread, handled);
}

/* ---- System calls ---- */

#define MASK_SIZE 8u

/* Checks an address that may be 0. */
static bool optional_range_ok(uint64_t address, uint64_t length)
{
    return !address || user_range_ok(address, length);
}

static bool is_signal(uint64_t number)
{
    return number >= 1 && number <= SIGNALS;
}

SYSTEM_CALL(rt_sigaction)
{
    struct sigaction action;
    if (d != MASK_SIZE || !is_signal(a) || (b && (a == SIGKILL || a == SIGSTOP)))
        return -EINVAL;
    if (!optional_range_ok(b, sizeof action) || !optional_range_ok(c, sizeof action))
        return -EFAULT;
    if (b)
        action = *(const struct sigaction *)b;
    if (c)
        *(struct sigaction *)c = actions[a];
    if (!b)
        return 0;
    actions[a] = action;
    if (is_ignored((int)a))
        pending_discard((int)a);
    return 0;
}

static bool change_mask(uint64_t how, uint64_t set, uint64_t *mask)
{
    switch (how) {
    case SIG_BLOCK:
        *mask |= set;
        return true;
    case SIG_UNBLOCK:
        *mask &= ~set;
        return true;
    case SIG_SETMASK:
        *mask = set;
        return true;
    default:
        return false;
    }
}

SYSTEM_CALL(rt_sigprocmask)
{
    const uint64_t old = current->blocked;
    uint64_t mask = old;
    if (d != MASK_SIZE)
        return -EINVAL;
    if (!optional_range_ok(b, MASK_SIZE) || !optional_range_ok(c, MASK_SIZE))
        return -EFAULT;
    if (b && !change_mask(a, *(const uint64_t *)b, &mask))
        return -EINVAL;
    if (c)
        *(uint64_t *)c = old;
    if (b)
        signal_set_mask(current, mask);
    return 0;
}

SYSTEM_CALL(rt_sigpending)
{
    if (b > MASK_SIZE)
        return -EINVAL;
    if (!user_range_ok(a, b))
        return -EFAULT;
    const uint64_t set = (current->pending.set | process_signals) & current->blocked;
    memcpy((void *)a, &set, b);
    return 0;
}

SYSTEM_CALL(pause)
{
    thread_sleep(NO_DEADLINE);
    return -EINTR;
}

int64_t signal_mask_for_call(uint64_t address, uint64_t size)
{
    if (size != MASK_SIZE)
        return -EINVAL;
    if (!user_range_ok(address, MASK_SIZE))
        return -EFAULT;
    const uint64_t mask = *(const uint64_t *)address;
    current->suspended_mask = current->blocked;
    signal_set_mask(current, mask);
    current->suspended = true;
    return 0;
}

SYSTEM_CALL(rt_sigsuspend)
{
    const int64_t error = signal_mask_for_call(a, b);
    if (error)
        return error;
    thread_sleep(NO_DEADLINE);
    return -EINTR;
}

struct signal_wait {
    const struct thread *thread;
    uint64_t set;
};

static bool has_signal(void *argument)
{
    const struct signal_wait *wait = argument;
    return (wait->thread->pending.set | process_signals) & wait->set;
}

SYSTEM_CALL(rt_sigtimedwait)
{
    uint64_t deadline = NO_DEADLINE;
    struct signal_event event;
    if (d != MASK_SIZE)
        return -EINVAL;
    if (!user_range_ok(a, MASK_SIZE) || (b && !user_range_ok(b, sizeof(siginfo_t))))
        return -EFAULT;
    struct signal_wait wait = { current, *(const uint64_t *)a & ~SIGNALS_NEVER_BLOCKED };
    int64_t error = c ? clock_deadline(CLOCK_MONOTONIC, false, c, &deadline) : 0;
    if (error)
        return error;
    if (!block_until(has_signal, &wait, deadline))
        return interrupted() ? -EINTR : -EAGAIN;
    pending_take(current, wait.set, process_signals, &event);
    if (b) {
        siginfo_t *info = (siginfo_t *)b;
        memset(info, 0, sizeof *info);
        info->si_signo = event.number;
        info->si_code = event.code;
        info->si_pid = event.sender;
        info->si_overrun = event.overrun;
        info->si_value.sival_ptr = (void *)event.address;
    }
    return event.number;
}

/* Of the process where `thread` is NULL. Number 0 sends nothing. */
static int64_t send(struct thread *thread, uint64_t number, struct pending_signal info)
{
    if (number && !is_signal(number))
        return -EINVAL;
    if (pending_is_full(thread, (int)number) && info.code != SI_USER)
        return -EAGAIN;
    if (number)
        signal_send(thread, (int)number, info);
    return 0;
}

static int64_t send_to_thread(int32_t id, uint64_t number, struct pending_signal info)
{
    struct thread *thread = thread_find(id);
    return thread && !thread->dead ? send(thread, number, info) : -ESRCH;
}

static int64_t send_to_process(int32_t id, uint64_t number, struct pending_signal info)
{
    const struct thread *thread = thread_find(id); /* any of its threads stands for a process */
    const bool is_own = (thread && !thread->dead) || id == process_id() || id == 0 ||
                        id == -SESSION_ID;
    return is_own ? send(NULL, number, info) : -ESRCH;
}

SYSTEM_CALL(kill)
{
    return send_to_process((int32_t)a, b,
                           (struct pending_signal){ .code = SI_USER, .sender = process_id() });
}

SYSTEM_CALL(tkill)
{
    if ((int32_t)a <= 0)
        return -EINVAL;
    return send_to_thread((int32_t)a, b,
                          (struct pending_signal){ .code = SI_TKILL, .sender = process_id() });
}

SYSTEM_CALL(tgkill)
{
    if ((int32_t)a <= 0 || (int32_t)b <= 0)
        return -EINVAL;
    return (int32_t)a == process_id() ? sys_tkill(b, c, 0, 0, 0, 0) : -ESRCH;
}

static int64_t read_info(uint64_t address, struct pending_signal *pending)
{
    if (!user_range_ok(address, sizeof(siginfo_t)))
        return -EFAULT;
    const siginfo_t *info = (const siginfo_t *)address;
    *pending = (struct pending_signal){ .code = info->si_code,
                                        .sender = process_id(),
                                        .value = (uint64_t)info->si_value.sival_ptr };
    return 0;
}

int64_t signal_send_to_process(uint64_t number, uint64_t info)
{
    struct pending_signal pending = { .code = SI_USER, .sender = process_id() };
    const int64_t error = info ? read_info(info, &pending) : 0;
    return error ? error : send_to_process(process_id(), number, pending);
}

SYSTEM_CALL(rt_sigqueueinfo)
{
    struct pending_signal pending;
    int64_t error = read_info(c, &pending);
    return error ? error : send_to_process((int32_t)a, b, pending);
}

SYSTEM_CALL(rt_tgsigqueueinfo)
{
    struct pending_signal pending;
    if ((int32_t)a <= 0 || (int32_t)b <= 0)
        return -EINVAL;
    int64_t error = (int32_t)a == process_id() ? read_info(d, &pending) : -ESRCH;
    return error ? error : send_to_thread((int32_t)b, c, pending);
}
