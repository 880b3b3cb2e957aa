/* A pool's life. */
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"

#define DEFAULT_MAX_IDLE 8u /* more idle VMs than this are closed: they hold memory */

/* The environment of a program that runs with more rights than its user decides nothing. */
static bool is_jailed_by_default(void)
{
    const char *value = secure_getenv("UDFVM_JAIL");
    return value && strcmp(value, "1") == 0;
}

udfvm_pool *udfvm_pool_create(udfvm_image *base, unsigned limit, const struct udfvm_files *files,
                              struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (base->base || limit == 0) {
        udfvm_fail(error, UDFVM_E_ARGUMENT,
                   "a pool needs a base image and a limit of at least one VM");
        return NULL;
    }
    struct udfvm_pool *pool = calloc(1, sizeof *pool);
    struct idle *idle = calloc(limit, sizeof *idle);
    if (!pool || !idle) {
        udfvm_fail_errno(error, "allocating a pool");
        free(pool);
        free(idle);
        return NULL;
    }
    udfvm_condition_init(&pool->freed);
    pthread_mutex_init(&pool->lock, NULL);
    pool->references = 1;
    pool->generation = udfvm_fork_generation();
    pool->base = udfvm_image_retain(base);
    pool->files = files;
    pool->limit = limit;
    pool->max_idle = DEFAULT_MAX_IDLE;
    pool->idle = idle;
    pool->jailed = is_jailed_by_default();
    udfvm_pool_register(pool);
    return pool;
}

struct udfvm_vm *udfvm_pool_remove_idle(struct udfvm_pool *pool, unsigned index)
{
    struct udfvm_vm *vm = pool->idle[index].vm;
    pool->idle_count--;
    for (unsigned i = index; i < pool->idle_count; i++)
        pool->idle[i] = pool->idle[i + 1];
    return vm;
}

void udfvm_pool_forget_vm(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->live--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

void udfvm_pool_set_idle(udfvm_pool *pool, unsigned max_idle)
{
    if (pool->generation != udfvm_fork_generation())
        return;
    pthread_mutex_lock(&pool->lock);
    pool->max_idle = max_idle;
    const bool many = pool->idle_count > max_idle;
    pthread_mutex_unlock(&pool->lock);
    if (many)
        udfvm_pool_trim(pool, max_idle);
}

void udfvm_pool_shut(udfvm_pool *pool)
{
    if (pool->generation != udfvm_fork_generation())
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
    udfvm_pool_trim(pool, 0);
}

void udfvm_pool_statistics(udfvm_pool *pool, struct udfvm_pool_statistics *statistics)
{
    *statistics = (struct udfvm_pool_statistics){ .limit = pool->limit };
    if (pool->generation != udfvm_fork_generation())
        return; /* a child inherited the lock as it was held for the fork */
    pthread_mutex_lock(&pool->lock);
    *statistics = (struct udfvm_pool_statistics){ .limit = pool->limit,
                                                  .live = pool->live,
                                                  .idle = pool->idle_count,
                                                  .borrowed = pool->borrowed };
    pthread_mutex_unlock(&pool->lock);
}

udfvm_pool *udfvm_pool_retain(udfvm_pool *pool)
{
    atomic_fetch_add(&pool->references, 1);
    return pool;
}

void udfvm_pool_close(udfvm_pool *pool)
{
    if (!pool || atomic_fetch_sub(&pool->references, 1) != 1)
        return;
    if (pool->generation == udfvm_fork_generation())
        udfvm_pool_unregister(pool);
    for (unsigned i = 0; i < pool->idle_count; i++)
        udfvm_vm_close(pool->idle[i].vm);
    udfvm_image_close(pool->base);
    udfvm_data_close(pool->data);
    if (pool->generation == udfvm_fork_generation()) { /* a child inherited them locked */
        pthread_cond_destroy(&pool->freed);
        pthread_mutex_destroy(&pool->lock);
    }
    free(pool->cgroup);
    free(pool->idle);
    free(pool);
}

void udfvm_pool_set_data(udfvm_pool *pool, udfvm_data *data)
{
    udfvm_data_close(pool->data);
    pool->data = udfvm_data_retain(data);
}

int udfvm_pool_jail(udfvm_pool *pool, int jailed, const char *cgroup, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    char *copy = cgroup ? strdup(cgroup) : NULL;
    if (cgroup && !copy)
        return udfvm_fail_errno(error, "keeping the name of a cgroup");
    free(pool->cgroup);
    pool->cgroup = copy;
    pool->jailed = jailed != 0;
    return UDFVM_OK;
}
