/* A second thread for work on megabytes: copying batches, zeroing what calls wrote.
 *
 * One processor does not move data as fast as memory can. So such work is cut into chunks, which
 * whoever waits for it and the worker take in turn. The worker is a help, never a need: where it
 * does not get a processor the waiting thread does all of it, at no loss but that of one look at a
 * lock for each chunk. It starts with the first work that is offered, and ends when there was none
 * for a while.
 */
#include "base/worker.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <x86intrin.h>

#include "base/clock.h"

#define IDLE_NS 1000000000u
#define SPIN \
    4000u /* looks at the worker's last chunk before the waiting thread sleeps: some 50 us */

enum life { LIFE_NONE, LIFE_RUNS, LIFE_ENDED };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t offered, finished;
    pthread_t thread;
    enum life life;
    bool stop;
    cpu_set_t processors; /* that it may use, as it started */
    struct work *first;   /* work with chunks that nobody took */
    bool forbidden;       /* there is to be none */
} worker = { .lock = PTHREAD_MUTEX_INITIALIZER,
             .offered = PTHREAD_COND_INITIALIZER,
             .finished = PTHREAD_COND_INITIALIZER };

static void unlink_work(const struct work *work)
{
    for (struct work **link = &worker.first; *link; link = &(*link)->after)
        if (*link == work) {
            *link = work->after;
            return;
        }
}

/* Does one chunk; false where none is left to take. Called with the lock held, and returns with it.
 */
static bool do_chunk(struct work *work)
{
    if (work->next == work->chunks)
        return false;
    const size_t index = work->next++;
    if (work->next == work->chunks)
        unlink_work(work);
    pthread_mutex_unlock(&worker.lock);
    work->chunk(work, index);
    pthread_mutex_lock(&worker.lock);
    if (atomic_fetch_add(&work->done, 1) + 1 == work->chunks)
        pthread_cond_broadcast(&worker.finished);
    return true;
}

static bool wait_for_work(void)
{
    const uint64_t end_ns = udfvm_monotonic_ns() + IDLE_NS;
    while (!worker.first && !worker.stop)
        if (!udfvm_condition_wait(&worker.offered, &worker.lock, end_ns))
            break;
    return worker.first && !worker.stop;
}

static void *run_worker(void *unused)
{
    /* Where no other processor is free it must not take the one of the thread that offers work:
     * threads of SCHED_BATCH do not preempt others as they wake up (sched(7)). That there is such a
     * policy here is not needed. */
    pthread_setschedparam(pthread_self(), SCHED_BATCH,
                          &(struct sched_param){ .sched_priority = 0 });
    sched_setaffinity(0, sizeof worker.processors, &worker.processors); /* later it may move */
    pthread_mutex_lock(&worker.lock);
    while (wait_for_work())
        do_chunk(worker.first);
    worker.life = LIFE_ENDED;
    pthread_cond_broadcast(&worker.finished);
    pthread_mutex_unlock(&worker.lock);
    return unused;
}

/* One that has ended is joined once, by whoever sees it first. Called with the lock held, which it
 * let go as the last thing that it did. */
static void join_ended(void)
{
    if (worker.life != LIFE_ENDED)
        return;
    pthread_join(worker.thread, NULL);
    worker.life = LIFE_NONE;
}

/* Fills in the processors that the process may use; false where there is but one. */
static bool find_processors(cpu_set_t *all)
{
    return sched_getaffinity(0, sizeof *all, all) == 0 && CPU_COUNT(all) > 1;
}

/* A new thread often begins on the processor of its maker, whatever else is idle, and waits there.
 * So the worker begins on another one, where the offered work has to be done now. */
static bool start_elsewhere(const cpu_set_t *all)
{
    pthread_attr_t attributes;
    cpu_set_t others = *all;
    if (pthread_attr_init(&attributes))
        return false;
    CPU_CLR((size_t)sched_getcpu(), &others);
    const bool started = pthread_attr_setaffinity_np(&attributes, sizeof others, &others) == 0 &&
                         pthread_create(&worker.thread, &attributes, run_worker, NULL) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

/* Where it cannot be started the work is done without it. Called with the lock held. */
static void start_worker(void)
{
    sigset_t all, before;
    join_ended();
    if (worker.stop)
        return; /* the process ends: other threads may still be at work */
    udfvm_condition_init(&worker.offered); /* only the worker waits for it, and there is none */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    if (find_processors(&worker.processors) && start_elsewhere(&worker.processors))
        worker.life = LIFE_RUNS;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void udfvm_worker_forbid(void)
{
    worker.forbidden = true;
}

void udfvm_work_offer(struct work *work)
{
    struct work **last = &worker.first;
    pthread_mutex_lock(&worker.lock);
    if (worker.life != LIFE_RUNS && !worker.forbidden)
        start_worker();
    while (*last)
        last = &(*last)->after;
    work->after = NULL;
    *last = work;
    pthread_cond_signal(&worker.offered);
    pthread_mutex_unlock(&worker.lock);
}

void udfvm_work_finish(struct work *work)
{
    pthread_mutex_lock(&worker.lock);
    while (do_chunk(work))
        ;
    pthread_mutex_unlock(&worker.lock);
    for (unsigned i = 0; i < SPIN && atomic_load(&work->done) < work->chunks; i++)
        _mm_pause();
    pthread_mutex_lock(&worker.lock);
    while (atomic_load(&work->done) < work->chunks)
        pthread_cond_wait(&worker.finished, &worker.lock);
    pthread_mutex_unlock(&worker.lock);
}

void udfvm_work_abandon(struct work *work)
{
    pthread_mutex_lock(&worker.lock);
    if (work->next < work->chunks)
        unlink_work(work);
    work->chunks = work->next;
    pthread_mutex_unlock(&worker.lock);
    udfvm_work_finish(work);
}

void udfvm_worker_forget(void)
{
    worker.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    worker.offered = worker.finished = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    worker.life = LIFE_NONE;
    worker.stop = false;
    worker.first = NULL;
}

/* At exit. Threads of the program may go on with their work meanwhile, without the worker. */
__attribute__((destructor)) static void end_worker(void)
{
    pthread_mutex_lock(&worker.lock);
    worker.stop = true;
    pthread_cond_signal(&worker.offered);
    while (worker.life == LIFE_RUNS)
        pthread_cond_wait(&worker.finished, &worker.lock);
    join_ended();
    pthread_mutex_unlock(&worker.lock);
}
