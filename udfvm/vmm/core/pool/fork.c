/* Forks of the process, for the whole core: threads stop before a fork, and no list is in the
 * middle of a change. A child has none of the threads, streams and deadlines, but frees its
 * parent's pools and VMs. */
#include "base/process.h"
#include "call/deadline.h"
#include "call/streaming.h"
#include "call/vcpu_thread.h"
#include "call/watchdog.h"
#include "jail/jail.h"
#include "base/worker.h"
#include "pool/pool.h"

static struct {
    pthread_mutex_t lock;
    struct udfvm_pool *first;
} pools = { .lock = PTHREAD_MUTEX_INITIALIZER };

void udfvm_pool_register(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pools.lock);
    pool->following = pools.first;
    pool->link = &pools.first;
    if (pools.first)
        pools.first->link = &pool->following;
    pools.first = pool;
    pthread_mutex_unlock(&pools.lock);
}

void udfvm_pool_unregister(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pools.lock);
    *pool->link = pool->following;
    if (pool->following)
        pool->following->link = pool->link;
    pthread_mutex_unlock(&pools.lock);
}

static void lock_pools(void)
{
    pthread_mutex_lock(&pools.lock);
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pthread_mutex_lock(&pool->lock);
}

static void unlock_pools(void)
{
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pools.lock);
}

static void forget_pools(void)
{
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pool->lock = (pthread_mutex_t)
            PTHREAD_MUTEX_INITIALIZER; /* it may have been forked in a wait */
    pools.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pools.first = NULL;
}

static void before_fork(void)
{
    udfvm_watchdog_before_fork();
    udfvm_jail_before_fork();
    lock_pools();
    udfvm_vcpu_threads_before_fork();
}

static void in_parent(void)
{
    udfvm_vcpu_threads_in_parent();
    unlock_pools();
    udfvm_jail_in_parent();
    udfvm_watchdog_in_parent();
}

static void in_child(void)
{
    udfvm_fork_generation_next();
    udfvm_deadline_forget();
    udfvm_watchdog_in_child();
    forget_pools();
    udfvm_stream_forget_processors();
    udfvm_vcpu_threads_forget();
    udfvm_worker_forget();
    udfvm_jail_forget();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}
