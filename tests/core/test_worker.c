/* Work that is shared with the worker, and copies. Usage: test_worker [--no-fork]. Prints what
 * holds and what failed. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "check.h"
#include "base/worker.h"

#define MIB    ((size_t)1 << 20)
#define CHUNKS 200u
#define OFFERS 300u

/* Bytes that differ from their neighbours, and from those of other pages: they repeat after 1 MiB,
 * so what is there is copied on, since a loop over bytes is slow under sanitizers. */
static void fill(uint8_t *bytes, size_t length)
{
    size_t done = length < MIB ? length : MIB;
    for (size_t i = 0; i < done; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
    while (done < length) {
        const size_t more = done < length - done ? done : length - done;
        memcpy(bytes + done, bytes, more);
        done += more;
    }
}

enum { MAX_OFFSET = 61, AROUND = 65 };

/* Copies to an odd place, with bytes around that must stay as they are. */
static void check_copy_between(const uint8_t *from, uint8_t *to, size_t length, size_t to_offset)
{
    memset(to, 0xee, length + to_offset + AROUND);
    udfvm_copy(to + to_offset, from, length);
    bool same = memcmp(to + to_offset, from, length) == 0, around = true;
    for (size_t i = 0; i < to_offset; i++)
        around = around && to[i] == 0xee;
    for (size_t i = 0; i < AROUND; i++)
        around = around && to[to_offset + length + i] == 0xee;
    check_number(same, "a copy differs", length);
    check_number(around, "a copy wrote beyond its end", length);
}

/* From the start of what is allocated up to its end: sanitizers see what lies beyond. The memory is
 * the same for all, since theirs for it costs most of the time. */
static void check_copies(size_t length)
{
    uint8_t *from = malloc(length + 8), *to = malloc(length + MAX_OFFSET + AROUND);
    fill(from, length + 8);
    check_copy_between(from, to, length, 0);
    check_copy_between(from + 3, to, length, 8);
    check_copy_between(from + 8, to, length, MAX_OFFSET);
    free(from);
    free(to);
}

static void check_copy(size_t length)
{
    uint8_t *from = malloc(length), *to = malloc(length + AROUND);
    fill(from, length);
    check_copy_between(from, to, length, 0);
    free(from);
    free(to);
}

static void test_copies(void)
{
    const size_t lengths[] = { 0,           1,        63,          4096,
                               2 * MIB - 1, 2 * MIB,  2 * MIB + 1, 3 * MIB + 77,
                               9 * MIB + 5, 70 * MIB, 70 * MIB + 3 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_copies(lengths[i]);
}

struct counted {
    struct work work;
    atomic_uint times[CHUNKS];
};

static void count_chunk(struct work *work, size_t index)
{
    atomic_fetch_add(&((struct counted *)work)->times[index], 1);
}

static void *offer_often(void *argument)
{
    for (unsigned i = 0; i < OFFERS; i++) {
        struct counted *one = calloc(1, sizeof *one), *other = calloc(1, sizeof *other);
        one->work = other->work = (struct work){ .chunk = count_chunk, .chunks = CHUNKS };
        other->work.chunks = i % 7;
        udfvm_work_offer(&one->work);
        if (other->work.chunks)
            udfvm_work_offer(&other->work);
        if (i % 3)
            udfvm_work_finish(&one->work);
        udfvm_work_finish(&other->work);
        if (i % 3 == 0)
            udfvm_work_abandon(&one->work);
        for (size_t chunk = 0; chunk < CHUNKS; chunk++) {
            const unsigned times = atomic_load(&one->times[chunk]);
            if (i % 3 ? times != 1 : times != (chunk < one->work.chunks))
                *(bool *)argument = false;
            if (atomic_load(&other->times[chunk]) != (chunk < other->work.chunks))
                *(bool *)argument = false;
        }
        free(one); /* nobody may look at it any more: the sanitizers would see */
        free(other);
    }
    return NULL;
}

static void test_every_chunk_is_done_once(void)
{
    pthread_t threads[4];
    bool right[4] = { true, true, true, true };
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, offer_often, &right[i]);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        check_number(right[i], "chunks were left out, or done twice", i);
    }
}

static void test_a_forked_child_works(void)
{
    check_copy(9 * MIB); /* there is a worker */
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        bool right = true;
        offer_often(&right);
        check_copies(9 * MIB);
        exit(!right || failures); /* which ends its worker, not the parent's */
    }
    int status;
    waitpid(child, &status, 0);
    check_number(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed", (size_t)status);
    check_copy(9 * MIB);
}

static void test_one_processor_will_do(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int processor = 0; CPU_COUNT(&one) == 0; processor++)
        if (CPU_ISSET(processor, &all))
            CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
    bool right = true;
    offer_often(&right);
    check_number(right, "chunks were left out, or done twice, on one processor", 0);
    check_copy(9 * MIB);
    sched_setaffinity(0, sizeof all, &all);
}

static cpu_set_t processors; /* of the process */

static void run_for_a_thread(struct work *work, size_t index)
{
    (void)index;
    sigset_t blocked;
    cpu_set_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    sched_getaffinity(0, sizeof own, &own);
    check_number(CPU_EQUAL(&own, &processors), "the worker may not use all processors", 0);
    if (!pthread_equal(pthread_self(), *(pthread_t *)(work + 1)))
        check_number(sigismember(&blocked, SIGINT) == 1, "the worker takes signals", 0);
}

static void test_signals_are_for_other_threads(void)
{
    struct {
        struct work work;
        pthread_t self;
    } mine = { .self = pthread_self() };
    sched_getaffinity(0, sizeof processors, &processors);
    for (int i = 0; i < 200; i++) {
        mine.work = (struct work){ .chunk = run_for_a_thread, .chunks = 50 };
        udfvm_work_offer(&mine.work);
        udfvm_work_finish(&mine.work);
    }
}

int main(int count, char **arguments)
{
    (void)arguments;
    static const struct test tests[] = {
        { "copies", test_copies },
        { "chunks", test_every_chunk_is_done_once },
        { "fork", test_a_forked_child_works },
        { "signals", test_signals_are_for_other_threads },
        { "one processor", test_one_processor_will_do },
    };
    run_tests(tests, sizeof tests / sizeof *tests, count > 1 ? test_a_forked_child_works : NULL);
    return failures != 0;
}
