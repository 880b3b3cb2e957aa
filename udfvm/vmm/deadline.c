/* Deadlines of calls, interrupts, and forks.
 *
 * Each thread that runs calls owns one POSIX timer, which signals that very thread; the handler sets kvm_run.immediate_exit, so a
 * KVM_RUN that is running returns with EINTR and one that is about to start does too. Arming costs a system call, so an armed timer is
 * left alone where it fires before the new call's deadline: the handler then arms it anew for what is running.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

struct thread_timer {
    timer_t timer;
    unsigned generation;
    struct deadline *volatile running;
    volatile uint64_t deadline_ns;            /* of `running` */
    volatile uint64_t armed_ns;               /* when the timer fires; 0: not armed */
    struct thread_timer *parents;             /* in a forked child: calls in whose middle it was forked, and end now, still refer to it */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t timer_key;
static int setup_errno;
static atomic_uint fork_generation = 1;
static int (*_Atomic interrupt_hook)(void);

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int arm(struct thread_timer *state, uint64_t at_ns)
{
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(at_ns / 1000000000u), .tv_nsec = (long)(at_ns % 1000000000u) } };
    state->armed_ns = at_ns;
    return timer_settime(state->timer, TIMER_ABSTIME, &when, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (info->si_code != SI_TIMER)
        return;
    int saved = errno;
    struct thread_timer *state = info->si_value.sival_ptr;
    struct deadline *running = state->running;
    state->armed_ns = 0;
    const uint64_t now = monotonic_ns();
    if (running && now >= state->deadline_ns) {
        atomic_store(now >= running->end_ns ? &running->expired : &running->due, true);
        running->run->immediate_exit = 1;
    } else if (running) {
        arm(state, state->deadline_ns);
    }
    errno = saved;
}

static void in_child(void)
{
    atomic_fetch_add(&fork_generation, 1);
    udfvm_stream_forget_places();
    udfvm_worker_forget();
}

static void free_timer(void *value)
{
    struct thread_timer *state = value;
    if (state->generation == udfvm_fork_generation())
        timer_delete(state->timer);
    while (state) {
        struct thread_timer *parents = state->parents;
        free(state);
        state = parents;
    }
}

static void setup(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    if (sigaction(UDFVM_KICK_SIGNAL, &action, NULL) < 0)
        setup_errno = errno;
    else
        setup_errno = pthread_key_create(&timer_key, free_timer);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

int udfvm_deadline_prepare(struct udfvm_error *error)
{
    pthread_once(&once, setup);
    errno = setup_errno;
    return setup_errno ? udfvm_fail_errno(error, "preparing the deadline signal") : UDFVM_OK;
}

static struct thread_timer *thread_timer(struct udfvm_error *error)
{
    if (udfvm_deadline_prepare(error) != UDFVM_OK)
        return NULL;
    struct thread_timer *state = pthread_getspecific(timer_key);
    if (state && state->generation == udfvm_fork_generation())
        return state;
    struct thread_timer *parents = state;
    state = calloc(1, sizeof *state);
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = UDFVM_KICK_SIGNAL };
    event.sigev_value.sival_ptr = state;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, UDFVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
    if (!state || timer_create(CLOCK_MONOTONIC, &event, &state->timer) < 0) {
        udfvm_fail_errno(error, "creating the deadline timer");
        free(state);
        return NULL;
    }
    state->generation = udfvm_fork_generation();
    state->parents = parents;
    pthread_setspecific(timer_key, state);
    return state;
}

/* The next time at which the thread must be signalled. */
static uint64_t next_signal(const struct deadline *deadline, uint64_t now)
{
    return deadline->looks && deadline->end_ns > now + UDFVM_WATCH_NS ? now + UDFVM_WATCH_NS : deadline->end_ns;
}

static int watch_over(struct thread_timer *state, struct deadline *deadline, uint64_t at)
{
    state->running = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    state->deadline_ns = at;
    atomic_signal_fence(memory_order_seq_cst);
    state->running = deadline;
    atomic_signal_fence(memory_order_seq_cst);
    const uint64_t armed = state->armed_ns;
    return armed == 0 || armed > at ? arm(state, at) : 0;
}

int udfvm_deadline_start(struct deadline *deadline, struct kvm_run *run, uint64_t timeout_ns, struct udfvm_error *error)
{
    deadline->run = run;
    deadline->timer = NULL;
    atomic_store_explicit(&deadline->expired, false, memory_order_relaxed);
    atomic_store_explicit(&deadline->due, false, memory_order_relaxed);
    run->immediate_exit = 0;
    if (timeout_ns == 0 && !deadline->looks)
        return UDFVM_OK;
    struct thread_timer *state = thread_timer(error);
    if (!state)
        return error ? error->code : UDFVM_E_SYSTEM;
    const uint64_t now = monotonic_ns();
    deadline->end_ns = timeout_ns == 0 || timeout_ns > UINT64_MAX / 2 - now ? UINT64_MAX / 2 : now + timeout_ns;
    const uint64_t at = next_signal(deadline, now);
    deadline->timer = state;
    deadline->outer = state->running;
    if (watch_over(state, deadline, at) == 0)
        return UDFVM_OK;
    state->running = deadline->outer;
    deadline->timer = NULL;
    return udfvm_fail_errno(error, "arming the deadline timer");
}

/* The timer is not armed at this point: its signal brought the vCPU out. */
void udfvm_deadline_looked(struct deadline *deadline)
{
    struct thread_timer *state = deadline->timer;
    atomic_store(&deadline->due, false);
    deadline->run->immediate_exit = 0;
    state->deadline_ns = next_signal(deadline, monotonic_ns());
    atomic_signal_fence(memory_order_seq_cst);
    if (arm(state, state->deadline_ns) < 0) {            /* no further look, and no deadline, would come */
        atomic_store(&deadline->expired, true);
        deadline->run->immediate_exit = 1;
    }
}

void udfvm_deadline_stop(struct deadline *deadline)
{
    struct thread_timer *state = deadline->timer;
    if (state && state->generation != udfvm_fork_generation()) {         /* the call's VM and the timer are the parent's */
        deadline->timer = NULL;
        return;
    }
    struct deadline *outer = deadline->outer;            /* of a call that waits for this one: a host function or a signal handler made it */
    if (state && !outer)
        state->running = NULL;
    else if (state && watch_over(state, outer, next_signal(outer, monotonic_ns())) < 0) {
        atomic_store(&outer->expired, true);             /* or it would have no deadline */
        outer->run->immediate_exit = 1;
    }
    deadline->timer = NULL;
    if (atomic_exchange(&deadline->due, false))          /* whoever runs the vCPU next is not this call */
        deadline->run->immediate_exit = 0;
}

void udfvm_set_interrupt_hook(int (*hook)(void))
{
    atomic_store(&interrupt_hook, hook);
}

bool udfvm_interrupted(void)
{
    int (*hook)(void) = atomic_load(&interrupt_hook);
    return hook && hook() != 0;
}

unsigned udfvm_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}
