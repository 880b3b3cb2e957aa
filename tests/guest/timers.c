/* Timers: alarm, setitimer, timer_create, timerfd. Their signals come into code that computes, and
 * end what waits. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define MILLISECOND 1000000l

static volatile sig_atomic_t seen, code, overruns;
static volatile uint64_t counted;
static int ends[2];

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    if (code == SI_TIMER)
        overruns += info->si_overrun;
    seen += number == SIGUSR2 ? info->si_value.sival_int : 1;
}

static void catch(int number, int flags)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };
    CHECK(sigaction(number, &action, NULL) == 0);
    seen = code = overruns = 0;
}

static void compute_until(int signals)
{
    while (seen < signals)
        counted++;
}

static void pause_for(long nanoseconds)
{
    nanosleep(&(struct timespec){ .tv_nsec = nanoseconds }, NULL);
}

static struct itimerval every(long value_us, long interval_us)
{
    return (struct itimerval){ { 0, interval_us }, { 0, value_us } };
}

static struct itimerspec at(long value_ns, long interval_ns)
{
    return (struct itimerspec){ { 0, interval_ns }, { 0, value_ns } };
}

/* ---- Interval timers ---- */

static void alarms(void)
{
    const struct itimerval soon = every(2000, 0);
    struct itimerval left;
    catch(SIGALRM, 0);
    CHECK(alarm(100) == 0 && alarm(50) == 100 && alarm(0) == 50 && alarm(0) == 0);
    CHECK(alarm(1) == 0 && getitimer(ITIMER_REAL, &left) == 0);
    CHECK(left.it_value.tv_sec <= 1 && left.it_interval.tv_sec == 0);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    compute_until(1);
    CHECK(code == SI_KERNEL && alarm(0) == 0);
}

static void intervals(void)
{
    static const int kinds[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
    static const int signals[] = { SIGALRM, SIGVTALRM, SIGPROF };
    const struct itimerval none = every(0, 0);
    struct itimerval now, old;
    for (int i = 0; i < 3; i++) {
        const struct itimerval wanted = every(3000, 2000);
        catch(signals[i], SA_RESTART);
        CHECK(setitimer(kinds[i], &wanted, &old) == 0);
        CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
        compute_until(3);
        CHECK(getitimer(kinds[i], &now) == 0 && now.it_value.tv_usec <= 2000 + 4000);
        CHECK(now.it_interval.tv_sec == 0 && now.it_interval.tv_usec >= 2000);
        CHECK(setitimer(kinds[i], &none, &old) == 0 && old.it_interval.tv_usec >= 2000);
        CHECK(getitimer(kinds[i], &now) == 0 && now.it_value.tv_usec == 0);
    }
    const struct itimerval bad = every(1000000, 0);
    CHECK(fails_with(setitimer(ITIMER_REAL, &bad, NULL), EINVAL));
    CHECK(fails_with(setitimer(7, &none, NULL), EINVAL));
    CHECK(fails_with(syscall(SYS_setitimer, ITIMER_REAL, 8, NULL), EFAULT));
    CHECK(fails_with(syscall(SYS_getitimer, ITIMER_REAL, 8), EFAULT));
}

static void processor_time_stands_still(void)
{
    const struct itimerval wanted = { { 0, 0 }, { 1000, 0 } }, none = every(0, 0);
    struct itimerval left;
    CHECK(setitimer(ITIMER_VIRTUAL, &wanted, NULL) == 0);
    pause_for(5 * MILLISECOND);
    CHECK(setitimer(ITIMER_VIRTUAL, &none, &left) == 0 && left.it_value.tv_sec >= 900);
}

/* ---- What a signal ends ---- */

static void arm(long value_us, long interval_us)
{
    const struct itimerval wanted = every(value_us, interval_us);
    CHECK(setitimer(ITIMER_REAL, &wanted, NULL) == 0);
}

static void write_too(int number)
{
    (void)number;
    CHECK(write(ends[1], "x", 1) == 1);
}

/* By the first signal that comes while they wait. */
static void waits_end(void)
{
    struct timespec left = { .tv_sec = 0 };
    struct pollfd nothing = { .fd = ends[0], .events = POLLIN };
    char byte;
    catch(SIGALRM, 0);
    arm(2000, 2000);
    CHECK(fails_with(pause(), EINTR) && seen >= 1);
    CHECK(fails_with(nanosleep(&(struct timespec){ .tv_sec = 1000 }, &left), EINTR));
    CHECK(left.tv_sec >= 900 && left.tv_sec <= 1000 && seen >= 2);
    CHECK(fails_with(read(ends[0], &byte, 1), EINTR) && seen >= 3);
    CHECK(fails_with(poll(&nothing, 1, -1), EINTR) && seen >= 4);
    arm(0, 0);
}

static void signals_are_waited_for(void)
{
    sigset_t alarms, before;
    siginfo_t info;
    char byte;
    catch(SIGALRM, 0);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarms, &before);
    arm(2000, 0);
    CHECK(sigwaitinfo(&alarms, &info) == SIGALRM && seen == 0);
    arm(2000, 0);
    sigset_t none;
    sigemptyset(&none);
    CHECK(fails_with(sigsuspend(&none), EINTR) && seen == 1);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGALRM, write_too); /* with SA_RESTART */
    arm(2000, 0);
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x');
}

static volatile bool stop;

static void *spin(void *argument)
{
    while (!stop)
        counted++;
    return argument;
}

/* A signal of the process goes to the first thread, although another runs. */
static void the_first_thread_is_signalled(void)
{
    pthread_t other;
    sem_t never;
    sem_init(&never, 0, 0);
    stop = false;
    catch(SIGALRM, 0);
    CHECK(pthread_create(&other, NULL, spin, NULL) == 0);
    arm(2000, 2000);
    CHECK(fails_with(sem_wait(&never), EINTR) && seen >= 1);
    arm(0, 0);
    stop = true;
    CHECK(pthread_join(other, NULL) == 0);
}

/* ---- timer_create ---- */

static timer_t create(int clock, int notify, int number, int value)
{
    struct sigevent event = { .sigev_notify = notify, .sigev_signo = number };
    timer_t timer = NULL;
    event.sigev_value.sival_int = value;
    if (notify == SIGEV_THREAD_ID)
        event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    CHECK(timer_create(clock, &event, &timer) == 0);
    return timer;
}

static void signals_of_timers(void)
{
    static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                  CLOCK_THREAD_CPUTIME_ID };
    struct itimerspec now, wanted = at(2 * MILLISECOND, MILLISECOND), none = at(0, 0);
    for (int i = 0; i < 8; i++) {
        const int notify = i % 2 ? SIGEV_SIGNAL : SIGEV_THREAD_ID;
        catch(SIGUSR2, SA_RESTART);
        timer_t timer = create(clocks[i / 2], notify, SIGUSR2, 7);
        CHECK(timer_settime(timer, 0, &wanted, &now) == 0 && now.it_value.tv_nsec == 0);
        compute_until(21);
        CHECK(code == SI_TIMER && seen % 7 == 0);
        CHECK(timer_gettime(timer, &now) == 0 && now.it_interval.tv_nsec == MILLISECOND);
        CHECK(timer_settime(timer, 0, &none, &now) == 0 && now.it_interval.tv_nsec == MILLISECOND);
        CHECK(timer_gettime(timer, &now) == 0 && now.it_value.tv_nsec == 0);
        CHECK(timer_delete(timer) == 0);
        CHECK(fails_with(timer_delete(timer), EINVAL));
        CHECK(fails_with(timer_gettime(timer, &now), EINVAL));
    }
}

/* A signal of each timer is pending at a time; what expires meanwhile is counted. */
static void expirations_are_counted(void)
{
    const struct itimerspec often = at(MILLISECOND, MILLISECOND), once = at(MILLISECOND, 0);
    sigset_t waited, before;
    siginfo_t info;
    int values = 0;
    sigemptyset(&waited);
    sigaddset(&waited, SIGRTMIN + 2);
    pthread_sigmask(SIG_BLOCK, &waited, &before);
    timer_t one = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 1);
    CHECK(timer_settime(one, 0, &often, NULL) == 0);
    pause_for(20 * MILLISECOND);
    CHECK(sigwaitinfo(&waited, &info) == SIGRTMIN + 2 && info.si_code == SI_TIMER);
    CHECK(info.si_overrun >= 15 && timer_getoverrun(one) >= info.si_overrun);
    CHECK(timer_settime(one, 0, &once, NULL) == 0);
    timer_t two = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 2);
    CHECK(timer_settime(two, 0, &once, NULL) == 0);
    pause_for(5 * MILLISECOND);
    while (values != 3) {
        CHECK(sigwaitinfo(&waited, &info) == SIGRTMIN + 2);
        values |= info.si_value.sival_int;
    }
    CHECK(timer_delete(one) == 0 && timer_delete(two) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void absolute_times(void)
{
    struct itimerspec wanted = { .it_value = { .tv_sec = 1 } }, left;
    struct timespec now;
    catch(SIGUSR2, 0);
    timer_t timer = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR2, 1);
    CHECK(timer_settime(timer, TIMER_ABSTIME, &wanted, NULL) == 0); /* long past */
    compute_until(1);
    clock_gettime(CLOCK_REALTIME, &now);
    wanted.it_value.tv_sec = now.tv_sec + 1000;
    CHECK(timer_settime(timer, TIMER_ABSTIME, &wanted, NULL) == 0);
    CHECK(timer_gettime(timer, &left) == 0);
    CHECK(left.it_value.tv_sec > 900 && left.it_value.tv_sec <= 1000);
    CHECK(timer_delete(timer) == 0);
    timer = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    CHECK(timer_settime(timer, 0, &wanted, NULL) == 0 && timer_gettime(timer, &left) == 0);
    CHECK(left.it_value.tv_sec > 0 && timer_delete(timer) == 0);
}

static sem_t posted;

static void post(union sigval value)
{
    if (value.sival_int == 5)
        sem_post(&posted);
}

static void timers_with_threads(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD };
    const struct itimerspec wanted = at(MILLISECOND, MILLISECOND);
    timer_t timer;
    sem_init(&posted, 0, 0);
    event.sigev_notify_function = post;
    event.sigev_value.sival_int = 5;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &wanted, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(sem_wait(&posted) == 0);
    CHECK(timer_delete(timer) == 0);
}

static void what_timers_refuse(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99 };
    struct itimerspec bad = at(2000000000, 0);
    int made;
    CHECK(fails_with(syscall(SYS_timer_create, 99, NULL, &made), EINVAL));
    CHECK(fails_with(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &made), EINVAL));
    CHECK(fails_with(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &made), EFAULT));
    CHECK(fails_with(syscall(SYS_timer_settime, 1234, 0, &bad, NULL), EINVAL));
    timer_t timer = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    CHECK(fails_with(timer_settime(timer, 0, &bad, NULL), EINVAL));
    CHECK(timer_delete(timer) == 0);
}

/* ---- timerfd ---- */

static uint64_t expirations(int fd)
{
    uint64_t count = 0;
    return read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

static void descriptors(void)
{
    const struct itimerspec once = at(2 * MILLISECOND, 0), often = at(MILLISECOND, MILLISECOND),
                            none = at(0, 0), far = { .it_value = { .tv_sec = 1000 } };
    struct itimerspec left;
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
              waits = timerfd_create(CLOCK_REALTIME, 0);
    uint32_t word;
    CHECK(fd >= 0 && waits >= 0);
    CHECK(fails_with((long)read(fd, &word, sizeof word), EINVAL));
    CHECK(expirations(fd) == 0 && errno == EAGAIN);
    CHECK(timerfd_settime(waits, 0, &once, NULL) == 0 && expirations(waits) == 1);
    CHECK(timerfd_settime(waits, 0, &often, NULL) == 0);
    pause_for(10 * MILLISECOND);
    CHECK(expirations(waits) >= 9 && expirations(waits) >= 1);
    CHECK(timerfd_settime(fd, 0, &far, &left) == 0 && left.it_value.tv_sec == 0);
    CHECK(timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec >= 900);
    CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &once, NULL) == 0); /* long past */
    struct pollfd one = { .fd = fd, .events = POLLIN };
    CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLIN && expirations(fd) == 1);
    CHECK(poll(&one, 1, 0) == 0);
    CHECK(timerfd_settime(fd, 0, &once, NULL) == 0 && poll(&one, 1, -1) == 1);
    CHECK(timerfd_settime(fd, 0, &none, NULL) == 0 && poll(&one, 1, 0) == 0);
    CHECK(fails_with(timerfd_settime(fd, 64, &once, NULL), EINVAL));
    CHECK(fails_with(timerfd_settime(0, 0, &once, NULL), EINVAL));
    CHECK(fails_with(timerfd_settime(999, 0, &once, NULL), EBADF));
    CHECK(fails_with(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL));
    CHECK(close(fd) == 0 && close(waits) == 0);
}

static void descriptors_in_sets(void)
{
    const struct itimerspec often = at(MILLISECOND, MILLISECOND);
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), set = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };
    pthread_t other;
    stop = false;
    CHECK(pthread_create(&other, NULL, spin, NULL) == 0); /* computes meanwhile */
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
    CHECK(timerfd_settime(fd, 0, &often, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(epoll_wait(set, &event, 1, -1) == 1 && event.data.fd == fd && expirations(fd) >= 1);
    pause_for(3 * MILLISECOND); /* what is not read is one event */
    CHECK(epoll_wait(set, &event, 1, -1) == 1 && epoll_wait(set, &event, 1, 3) == 0);
    stop = true;
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(close(fd) == 0 && close(set) == 0);
}

int main(void)
{
    CHECK(pipe(ends) == 0);
    alarms();
    intervals();
    processor_time_stands_still();
    waits_end();
    signals_are_waited_for();
    the_first_thread_is_signalled();
    signals_of_timers();
    expirations_are_counted();
    absolute_times();
    timers_with_threads();
    what_timers_refuse();
    descriptors();
    descriptors_in_sets();
    return DONE();
}
