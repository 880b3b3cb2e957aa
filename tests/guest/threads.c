/* Threads: creation, joining, locks, condition variables, time-outs, thread-local storage, vector
 * state. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static _Thread_local int local = 5;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *count(void *argument)
{
    long sum = 0;
    for (long i = 0; i <= (long)argument; i++)
        sum += i;
    local = (int)(long)argument;
    return (void *)sum;
}

static void join_many(void)
{
    pthread_t threads[8];
    for (long round = 0; round < 20; round++) {
        for (long i = 0; i < 8; i++)
            CHECK(pthread_create(&threads[i], NULL, count, (void *)(i * 1000)) == 0);
        for (long i = 0; i < 8; i++) {
            void *result = NULL;
            CHECK(pthread_join(threads[i], &result) == 0);
            CHECK((long)result == i * 1000 * (i * 1000 + 1) / 2);
        }
    }
    CHECK(local == 5);
}

static void *ping(void *argument)
{
    const int mine = (int)(long)argument;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        while (turn % 2 != mine)
            pthread_cond_wait(&changed, &lock);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void ping_pong(void)
{
    pthread_t one, two;
    CHECK(pthread_create(&one, NULL, ping, (void *)0) == 0 &&
          pthread_create(&two, NULL, ping, (void *)1) == 0);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    CHECK(turn == 2000);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void time_outs(void)
{
    struct timespec until;
    sem_t empty;
    sem_init(&empty, 0, 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    const double before = now();
    CHECK(sem_timedwait(&empty, &until) == -1 && errno == ETIMEDOUT);
    CHECK(now() - before >= 0.015);
    pthread_mutex_lock(&lock);
    CHECK(pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
}

/* Each thread keeps values in vector registers across system calls in which others run. */
static void *keep_vectors(void *argument)
{
    const double seed = (double)(long)argument;
    double a = seed, b = seed * 2, c = seed * 3;
    long bad = 0;
    for (int i = 0; i < 300; i++) {
        __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c));
        long result = SYS_sched_yield;
        __asm__ volatile("syscall"
                         : "+a"(result), "+x"(a), "+x"(b), "+x"(c)
                         :
                         : "rcx", "r11", "memory");
        bad += a != seed || b != seed * 2 || c != seed * 3;
    }
    return (void *)bad;
}

static void vectors(void)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, keep_vectors, (void *)(i + 1)) == 0);
    for (int i = 0; i < 4; i++) {
        void *bad = (void *)1;
        pthread_join(threads[i], &bad);
        CHECK(bad == NULL);
    }
}

static volatile int stop;

static void *spin(void *argument)
{
    while (!stop)
        syscall(SYS_getppid);
    return argument;
}

/* A thread that never waits still lets others run at its system calls. */
static void no_starvation(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, spin, NULL) == 0);
    const struct timespec short_time = { .tv_nsec = 10000000 };
    nanosleep(&short_time, NULL);
    stop = 1;
    CHECK(pthread_join(thread, NULL) == 0);
}

static void stacks_are_given_back(void)
{
    pthread_t thread;
    for (int i = 0; i < 300; i++) {
        int error = pthread_create(&thread, NULL, count, (void *)10);
        CHECK(error == 0);
        if (error)
            return;
        pthread_join(thread, NULL);
    }
}

static void *take_and_end(void *mutex)
{
    return (void *)(long)pthread_mutex_lock(mutex);
}

/* Those who wait for a robust lock are told that its owner ended. */
static void owners_that_end(void)
{
    pthread_mutexattr_t robust;
    pthread_mutex_t locks[2];
    pthread_t owner, next;
    void *result = NULL;
    CHECK(pthread_mutexattr_init(&robust) == 0 &&
          pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_mutex_init(&locks[i], &robust) == 0);
        CHECK(pthread_create(&owner, NULL, take_and_end, &locks[i]) == 0);
        CHECK(pthread_join(owner, &result) == 0 && result == NULL);
    }
    CHECK(pthread_mutex_lock(&locks[0]) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(&locks[0]) == 0);
    CHECK(pthread_create(&next, NULL, take_and_end, &locks[0]) == 0);
    CHECK(sched_yield() == 0 && pthread_mutex_unlock(&locks[0]) == 0);
    CHECK(pthread_join(next, &result) == 0 && result == NULL);
    CHECK(pthread_mutex_trylock(&locks[0]) == EOWNERDEAD);
    CHECK(pthread_mutex_unlock(&locks[0]) == 0); /* not made consistent */
    CHECK(pthread_mutex_lock(&locks[0]) == ENOTRECOVERABLE);
    CHECK(pthread_mutex_lock(&locks[1]) == EOWNERDEAD);
}

static void *end_with_list(void *list)
{
    return (void *)syscall(SYS_set_robust_list, list, sizeof(struct robust_list_head));
}

/* Lists that are a circle, unaligned, or in memory that is not there, end with their thread. */
static void lists_that_make_no_sense(void)
{
    uint8_t *none = mmap(NULL, 1ul << 33, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                         -1, 0);
    struct robust_list_head circle = { .list_op_pending = NULL },
                            astray = { .list.next = (struct robust_list *)none,
                                       .list_op_pending = (struct robust_list *)(none + 1) };
    void *const lists[] = { none, &circle, &astray, (void *)0xffff800000000000 };
    circle.list.next = circle.list_op_pending = (struct robust_list *)&circle.list_op_pending;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end_with_list, lists[i]) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(munmap(none, 1ul << 33) == 0);
}

int main(void)
{
    join_many();
    lists_that_make_no_sense();
    owners_that_end();
    ping_pong();
    time_outs();
    vectors();
    no_starvation();
    stacks_are_given_back();
    CHECK(syscall(SYS_gettid) == getpid());
    return DONE();
}
