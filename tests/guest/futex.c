/* futex(2), operation by operation. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static uint32_t word, other;
static volatile int woken;

static long futex(uint32_t *address, int operation, uint32_t value, const void *timeout,
                  uint32_t *second, uint32_t value3)
{
    return syscall(SYS_futex, address, operation, value, timeout, second, value3);
}

static void *wait_on_word(void *argument)
{
    const uint32_t bits = (uint32_t)(long)argument;
    CHECK(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits) == 0);
    __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* How many wait: moving them from a word to itself counts them. */
static long waiting(void)
{
    return futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)100, &word, 0);
}

static void start(pthread_t *threads, int count, long bits)
{
    woken = 0;
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, wait_on_word, (void *)bits) == 0);
    while (waiting() < count)
        sched_yield();
}

static void join(pthread_t *threads, int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    CHECK(woken == count);
}

int main(void)
{
    pthread_t threads[6];
    const struct timespec moment = { .tv_nsec = 2000000 }, bad = { .tv_nsec = 2000000000 };

    CHECK(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(futex(&word, FUTEX_WAIT, 0, &moment, NULL, 0) == -1 && errno == ETIMEDOUT);
    CHECK(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0) == -1 && errno == EINVAL);
    CHECK(futex((uint32_t *)1, FUTEX_WAIT, 0, &moment, NULL, 0) == -1);
    CHECK(futex(&word, FUTEX_WAIT_BITSET, 0, &moment, NULL, 1) == -1 &&
          errno == ETIMEDOUT); /* absolute: long past */
    CHECK(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &moment, NULL, 1) == -1 &&
          errno == ETIMEDOUT);
    CHECK(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
    CHECK(futex(&word, FUTEX_WAKE, 9, NULL, NULL, 0) == 0);

    start(threads, 4, 3);
    CHECK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 4) == 0);
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    CHECK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 1) == 3);
    join(threads, 4);

    start(threads, 6, 1);
    CHECK(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 1) == -1 &&
          errno == EAGAIN);
    CHECK(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0) == 3);
    CHECK(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 2);
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 3);
    join(threads, 6);

    start(threads, 2, 1);
    other = 7;
    CHECK(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word,
                FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 0)) == 1);
    CHECK(word == 3);
    word = 0;
    CHECK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
                FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_GT, 9)) == 1);
    CHECK(other == 9);
    join(threads, 2);
    return DONE();
}
