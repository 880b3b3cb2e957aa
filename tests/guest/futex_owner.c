/* Locks that inherit priorities: those of POSIX threads, and operations of futex(2). */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static pthread_mutex_t mutex;
static uint32_t word;
static volatile int counted, handled;

static long futex(int operation, const struct timespec *until)
{
    return syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, 0, until, NULL, 0);
}

static void make(int type, int robust)
{
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, robust) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
}

static void *count(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        const int now = counted;
        if (i % 16 == 0)
            sched_yield();
        counted = now + 1;
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    }
    return argument;
}

static void threads_exclude_each_other(void)
{
    pthread_t threads[4];
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, count, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(counted == 8000);
    CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void *hold(void *argument)
{
    CHECK(pthread_mutex_lock(&mutex) == 0);
    __atomic_store_n((int *)argument, 1, __ATOMIC_SEQ_CST);
    usleep(30000);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return NULL;
}

static void handler(int number)
{
    handled += number == SIGUSR1;
}

/* A signal does not end the wait, whatever the handler says. */
static void waits(void)
{
    struct timespec past = { 1, 0 };
    struct sigaction action = { .sa_handler = handler };
    pthread_t thread;
    int held = 0;
    make(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
    CHECK(pthread_create(&thread, NULL, hold, &held) == 0);
    while (!__atomic_load_n(&held, __ATOMIC_SEQ_CST))
        sched_yield();
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY &&
          pthread_mutex_timedlock(&mutex, &past) == ETIMEDOUT);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &(struct itimerspec){ .it_value.tv_nsec = 5000000 }, NULL) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == EDEADLK);
    while (!handled)
        sched_yield();
    CHECK(pthread_mutex_unlock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == EPERM);
    pthread_join(thread, NULL);
    timer_delete(timer);
    CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void *take_and_end(void *argument)
{
    CHECK(pthread_mutex_lock(&mutex) == 0);
    __atomic_store_n((int *)argument, 1, __ATOMIC_SEQ_CST);
    usleep(20000);
    return NULL;
}

static void owners_end(void)
{
    pthread_t thread;
    int held = 0;
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
    CHECK(pthread_create(&thread, NULL, take_and_end, &held) == 0);
    while (!__atomic_load_n(&held, __ATOMIC_SEQ_CST))
        sched_yield();
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD); /* it waits, or the owner has ended */
    pthread_join(thread, NULL);
    CHECK(pthread_mutex_consistent(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_create(&thread, NULL, take_and_end, &held) == 0);
    pthread_join(thread, NULL);
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD && pthread_mutex_consistent(&mutex) == 0 &&
          pthread_mutex_unlock(&mutex) == 0 && pthread_mutex_destroy(&mutex) == 0);
}

static void operations(void)
{
    const uint32_t self = (uint32_t)gettid();
    const struct timespec bad = { .tv_nsec = 2000000000 };
    CHECK(futex(FUTEX_LOCK_PI, NULL) == 0 && word == self);
    CHECK(fails_with(futex(FUTEX_LOCK_PI, NULL), EDEADLK) &&
          fails_with(futex(FUTEX_TRYLOCK_PI, NULL), EDEADLK));
    CHECK(futex(FUTEX_UNLOCK_PI, NULL) == 0 && word == 0);
    CHECK(fails_with(futex(FUTEX_UNLOCK_PI, NULL), EPERM));
    word = FUTEX_OWNER_DIED;
    CHECK(futex(FUTEX_TRYLOCK_PI, NULL) == 0 && word == (self | FUTEX_OWNER_DIED));
    CHECK(futex(FUTEX_UNLOCK_PI, NULL) == 0);
    word = FUTEX_TID_MASK; /* no thread has this number */
    CHECK(fails_with(futex(FUTEX_LOCK_PI, NULL), ESRCH));
    CHECK(fails_with(futex(FUTEX_LOCK_PI, &bad), EINVAL));
}

int main(void)
{
    threads_exclude_each_other();
    waits();
    owners_end();
    operations();
    return DONE();
}
