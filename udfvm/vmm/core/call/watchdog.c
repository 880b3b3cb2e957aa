/* One thread of the process that keeps the deadlines of all calls.
 *
 * It does not depend on what the program does with its signals. A vCPU takes every signal while it
 * runs, those that its thread blocks too. The watchdog makes sure that the signal that it sends has
 * a handler, and repeats its kicks until the thread has left the guest. No timer, no descriptor and
 * no signal is queued for a call that ends in time.
 *
 * A call tells its next look in `next_ns`, and wakes the watchdog only where that would sleep past
 * it: with timeouts of one length, once per timeout. Either the watchdog, which sets `wake_ns` to
 * "never" before it looks at the calls, sees the call, or the call sees that.
 */
#include "call/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "call/deadline.h"
#include "call/vcpu_thread.h"
#include "hypervisor.h"

#define STACK_BYTES 262144u
#define IDLE_NS     1000000000ull /* without a call for so long, the thread ends */
#define RETRY_NS    1000000ull    /* the time to the second kick, doubled for each further one */
#define MAX_RETRIES 7u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct deadline *first;   /* of every VM of this process */
    _Atomic uint64_t wake_ns; /* when it looks next */
    pthread_t thread;
    bool started;
    uintptr_t turn; /* of the thread that is to run: others end */
} dog = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake_ns = UDFVM_NEVER };

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- Signals ---- */

static atomic_bool urged; /* SIGURG was sent too */

static void on_kick(int number)
{
    (void)number; /* to be interrupted is all */
}

/* A signal without a handler would be dropped, or end the program. */
static void need_handler(int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) < 0 ||
        (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN))
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_kick;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(number, &action, NULL);
}

void udfvm_kick(pid_t thread)
{
    need_handler(UDFVM_KICK_SIGNAL);
    if (syscall(SYS_tgkill, getpid(), thread, UDFVM_KICK_SIGNAL) == 0 || errno != EAGAIN)
        return;
    atomic_store(&urged, true);
    need_handler(SIGURG); /* RLIMIT_SIGPENDING is for real-time signals alone */
    syscall(SYS_tgkill, getpid(), thread, SIGURG);
}

bool udfvm_signals_settle(const struct hypervisor *hypervisor)
{
    const struct timespec no_time = { .tv_sec = 0 };
    sigset_t pending, blocked, waiting, kicks;
    sigemptyset(&kicks);
    sigaddset(&kicks, UDFVM_KICK_SIGNAL);
    if (atomic_load(&urged))
        sigaddset(&kicks, SIGURG);
    if (sigpending(&pending) < 0 || pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0)
        return false;
    sigandset(&waiting, &pending, &blocked);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&kicks, number) == 1) {
            if (sigismember(&waiting, number) == 1)
                while (sigtimedwait(&kicks, NULL, &no_time) > 0)
                    ;
            sigdelset(&blocked, number);
            sigdelset(&waiting, number);
        } else if (number == SIGURG && sigismember(&waiting, number) != 1) {
            sigdelset(&blocked, number); /* the next kick may need it */
        }
    return !sigisemptyset(&waiting) &&
           udfvm_hypervisor_block_signals(hypervisor, &blocked, NULL) == UDFVM_OK;
}

/* ---- The thread ---- */

/* Stops the vCPU until the call's thread has seen to it; when to kick again. */
static uint64_t stop(struct deadline *deadline, uint64_t now, unsigned *state)
{
    if (*state == DEADLINE_RUNS)
        deadline->kicks = 0;
    atomic_store(now >= deadline->end_ns ? &deadline->expired : &deadline->due, true);
    udfvm_hypervisor_stop(deadline->hypervisor);
    const bool entered = atomic_load(
        &deadline->entered); /* or it is about to, and will see the stop */
    if (entered)
        udfvm_kick(deadline->thread);
    const uint64_t next = entered ? now + (RETRY_NS << deadline->kicks) : UDFVM_NEVER;
    deadline->kicks += deadline->kicks < MAX_RETRIES;
    *state = DEADLINE_KICKED;
    return next;
}

/* Interrupts the guest where it asks for that. A kick that comes just before the guest is entered
 * has no effect: then it still asks at the next look. */
static uint64_t tick(struct deadline *deadline, uint64_t now)
{
    if (udfvm_ticker_look(&deadline->ticker, now) && atomic_load(&deadline->entered)) {
        atomic_store(&deadline->ticked, true);
        udfvm_kick(deadline->thread);
    }
    return udfvm_deadline_next(deadline);
}

/* Of no call now. Calls that come soon after each other do not wake the watchdog up each: it looks
 * once more after the last. */
static uint64_t look_at_none(struct deadline *deadline, uint64_t now)
{
    const uint64_t next = atomic_load(&deadline->next_ns);
    const bool was_used = deadline->seen_ns != next;
    deadline->seen_ns = next;
    return was_used ? now + TICK_NS : UDFVM_NEVER;
}

/* Looks at one call, and kicks it where it is time; when to look again. */
static uint64_t look(struct deadline *deadline, uint64_t now)
{
    unsigned state = atomic_load(&deadline->state);
    uint64_t next = atomic_load(&deadline->next_ns);
    if (state == DEADLINE_NONE)
        return look_at_none(deadline, now);
    if (state == DEADLINE_HELD) /* by its thread, for a moment */
        return now;
    if (now < next)
        return next;
    if (!atomic_compare_exchange_strong(&deadline->state, &state, DEADLINE_HELD))
        return now; /* it ended, or another began */
    next = atomic_load(&deadline->next_ns);
    if (now >= next) { /* of this very call, which cannot end while it is held */
        const bool is_time = state == DEADLINE_KICKED || now >= deadline->end_ns ||
                             now >= deadline->look_ns;
        next = is_time ? stop(deadline, now, &state) : tick(deadline, now);
        atomic_store(&deadline->next_ns, next);
    }
    atomic_store(&deadline->state, state);
    return next;
}

static uint64_t look_at_all(void)
{
    const uint64_t now = udfvm_monotonic_ns();
    uint64_t next = UDFVM_NEVER;
    for (struct deadline *each = dog.first; each; each = each->following) {
        const uint64_t again = look(each, now);
        next = again < next ? again : next;
    }
    return next;
}

static bool is_needed(void)
{
    for (const struct deadline *each = dog.first; each; each = each->following)
        if (atomic_load(&each->state) != DEADLINE_NONE)
            return true;
    return false;
}

/* The next call starts another. */
static void forget_thread(void)
{
    dog.started = false;
    dog.turn++;
    atomic_store(&dog.wake_ns, UDFVM_NEVER);
}

static void *run(void *turn)
{
    bool waited = false;
    pthread_mutex_lock(&dog.lock);
    while (dog.turn == (uintptr_t)turn) {
        atomic_store(&dog.wake_ns, UDFVM_NEVER);
        const uint64_t next = look_at_all(), idle = udfvm_monotonic_ns() + IDLE_NS,
                       wake = next < idle ? next : idle;
        if (waited && next == UDFVM_NEVER &&
            !is_needed()) { /* a thread that stayed would keep a process whose others have ended */
            pthread_detach(pthread_self());
            forget_thread();
            break;
        }
        atomic_store(&dog.wake_ns, wake);
        waited = !udfvm_condition_wait(&dog.wake, &dog.lock, wake);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

/* It takes no signals: those are for the program's threads. Called with the lock held. */
static int start(void)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&dog.thread, &attributes, run, (void *)dog.turn);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    dog.started = failed == 0;
    return failed;
}

void udfvm_watchdog_rest(void)
{
    pthread_mutex_lock(&dog.lock);
    const bool started = dog.started;
    const pthread_t thread = dog.thread;
    forget_thread();
    if (started)
        pthread_cond_broadcast(&dog.wake);
    pthread_mutex_unlock(&dog.lock);
    if (started)
        pthread_join(thread, NULL);
}

static void setup(void)
{
    udfvm_condition_init(&dog.wake);
}

int udfvm_watchdog_wake(uint64_t next_ns, struct udfvm_error *error)
{
    int failed = 0;
    pthread_once(&once, setup);
    pthread_mutex_lock(&dog.lock);
    if (!dog.started && !udfvm_on_vcpu_thread()) /* or the fork that ended it starts it again */
        failed = start();
    if (!failed && atomic_load(&dog.wake_ns) > next_ns) {
        atomic_store(&dog.wake_ns, next_ns);
        pthread_cond_broadcast(&dog.wake);
    }
    pthread_mutex_unlock(&dog.lock);
    errno = failed;
    return failed ? udfvm_fail_errno(error, "starting the thread that keeps deadlines") : UDFVM_OK;
}

uint64_t udfvm_watchdog_wakes_at(void)
{
    return atomic_load(&dog.wake_ns);
}

/* ---- What it watches ---- */

void udfvm_deadline_register(struct deadline *deadline)
{
    pthread_mutex_lock(&dog.lock);
    deadline->generation = udfvm_fork_generation();
    deadline->following = dog.first;
    deadline->link = &dog.first;
    if (dog.first)
        dog.first->link = &deadline->following;
    dog.first = deadline;
    pthread_mutex_unlock(&dog.lock);
}

void udfvm_deadline_unregister(struct deadline *deadline)
{
    if (deadline->generation != udfvm_fork_generation())
        return; /* a child's list is another */
    pthread_mutex_lock(&dog.lock);
    *deadline->link = deadline->following;
    if (deadline->following)
        deadline->following->link = deadline->link;
    pthread_mutex_unlock(&dog.lock);
}

/* ---- Forks, and the end. A fork finds one thread less, in no state in between. ---- */

void udfvm_watchdog_before_fork(void)
{
    udfvm_watchdog_rest();
}

void udfvm_watchdog_in_parent(void)
{
    pthread_mutex_lock(&dog.lock);
    if (is_needed() && !dog.started && start() != 0)
        for (struct deadline *each = dog.first; each;
             each = each->following) /* rather no call than one without an end */
            if (atomic_load(&each->state) != DEADLINE_NONE) {
                atomic_store(&each->expired, true);
                udfvm_hypervisor_stop(each->hypervisor);
                udfvm_kick(each->thread);
            }
    pthread_mutex_unlock(&dog.lock);
}

void udfvm_watchdog_in_child(void)
{
    pthread_mutex_init(&dog.lock, NULL);
    setup();
    dog.first = NULL;
    dog.started = false;
    atomic_store(&dog.wake_ns, UDFVM_NEVER);
}

__attribute__((destructor)) static void end(void)
{
    udfvm_watchdog_rest();
}
