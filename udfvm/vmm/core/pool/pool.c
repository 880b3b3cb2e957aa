/* A pool of VMs of one base image. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/image.h"

#define DEFAULT_MAX_IDLE 8u    /* more idle VMs than this are closed: they hold memory */
#define WAIT_SLICE 50000000ull /* nanoseconds between two looks whether a signal ends the wait */

struct udfvm_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    atomic_int references; /* the owners' and one for each VM taken */
    unsigned generation;
    struct udfvm_image *base;
    const struct udfvm_files *files;
    unsigned limit, live, idle_count, max_idle;
    bool closed; /* no more VMs are taken */
    struct idle {
        struct udfvm_vm *vm;
        uint64_t since_ns;
    } *idle;                              /* room for `limit`; the last was used last */
    struct udfvm_pool *following, **link; /* among all pools of this process */
};

/* ---- Forks. A child frees pools of its parent, whose lists must not be in the midst of a change
 * then. ---- */

static struct {
    pthread_mutex_t lock;
    struct udfvm_pool *first;
} pools = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void register_pool(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pools.lock);
    pool->following = pools.first;
    pool->link = &pools.first;
    if (pools.first)
        pools.first->link = &pool->following;
    pools.first = pool;
    pthread_mutex_unlock(&pools.lock);
}

static void unregister_pool(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pools.lock);
    *pool->link = pool->following;
    if (pool->following)
        pool->following->link = pool->link;
    pthread_mutex_unlock(&pools.lock);
}

void udfvm_pools_before_fork(void)
{
    pthread_mutex_lock(&pools.lock);
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pthread_mutex_lock(&pool->lock);
}

void udfvm_pools_in_parent(void)
{
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pools.lock);
}

void udfvm_pools_in_child(void)
{
    for (struct udfvm_pool *pool = pools.first; pool; pool = pool->following)
        pool->lock = (pthread_mutex_t)
            PTHREAD_MUTEX_INITIALIZER; /* a wait may be what was forked in */
    pools.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pools.first = NULL;
}

/* ---- Pools ---- */

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
    register_pool(pool);
    return pool;
}

static struct udfvm_vm *remove_idle(struct udfvm_pool *pool, unsigned index)
{
    struct udfvm_vm *vm = pool->idle[index].vm;
    pool->idle_count--;
    for (unsigned i = index; i < pool->idle_count; i++)
        pool->idle[i] = pool->idle[i + 1];
    return vm;
}

/* The idle VM to use for `image`: one that is bound to it already, whose hot set is that of its
 * calls. Where as many are idle as are kept, or no new one may be made, the one used longest ago
 * moves over. Without an image: one that makes room for another, where that is needed. */
static struct udfvm_vm *pick_idle(struct udfvm_pool *pool, const struct udfvm_image *image)
{
    if (!image)
        return pool->idle_count && pool->live == pool->limit ? remove_idle(pool, 0) : NULL;
    for (unsigned i = pool->idle_count; i-- > 0;)
        if (pool->idle[i].vm->image == image)
            return remove_idle(pool, i);
    const bool moves = pool->idle_count &&
                       (pool->idle_count >= pool->max_idle || pool->live == pool->limit);
    return moves ? remove_idle(pool, 0) : NULL;
}

/* How long a call waits: as long as the pool's users do, and no longer than it may take itself. */
struct wait {
    uint64_t began_ns, until_ns, timeout_ns, end_ns;
};

static uint64_t later(uint64_t now, uint64_t by)
{
    return by > UDFVM_NEVER - now ? UDFVM_NEVER : now + by;
}

static struct wait begin_wait(uint64_t wait_ns, uint64_t timeout_ns)
{
    const uint64_t now = udfvm_monotonic_ns(), outer = udfvm_deadline_of_thread();
    struct wait wait = { now, later(now, wait_ns), timeout_ns,
                         timeout_ns ? later(now, timeout_ns) : UDFVM_NEVER };
    if (outer < wait.end_ns)
        wait.end_ns = outer;
    return wait;
}

static int waited_too_long(const struct udfvm_pool *pool, const struct wait *wait,
                           struct udfvm_error *error)
{
    if (wait->until_ns < wait->end_ns)
        return udfvm_fail(error, UDFVM_E_BUSY, "all %u VMs of the pool are busy", pool->limit);
    if (udfvm_deadline_of_thread() == wait->end_ns)
        return udfvm_fail(
            error, UDFVM_E_TIMEOUT,
            "the call is part of one whose deadline passed while all %u VMs of the pool were busy",
            pool->limit);
    return udfvm_fail(error, UDFVM_E_TIMEOUT,
                      "the call did not begin within %.3g s: all %u VMs of the pool were busy",
                      (double)wait->timeout_ns / 1e9, pool->limit);
}

/* Waits for a VM to be given back, for a slice of time at most. Called with the lock held. */
static int wait_for_vm(struct udfvm_pool *pool, const struct wait *wait, struct udfvm_error *error)
{
    const uint64_t until_ns = wait->until_ns < wait->end_ns ? wait->until_ns : wait->end_ns;
    const uint64_t now = udfvm_monotonic_ns(), slice = now + WAIT_SLICE,
                   at = until_ns < slice ? until_ns : slice;
    if (now >= until_ns)
        return waited_too_long(pool, wait, error);
    const struct timespec when = { .tv_sec = (time_t)(at / 1000000000u),
                                   .tv_nsec = (long)(at % 1000000000u) };
    if (pthread_cond_timedwait(&pool->freed, &pool->lock, &when) != ETIMEDOUT)
        return UDFVM_OK;
    pthread_mutex_unlock(&pool->lock);
    const bool interrupted = udfvm_interrupted();
    pthread_mutex_lock(&pool->lock);
    if (pool->generation != udfvm_fork_generation()) /* by a signal handler */
        return udfvm_vm_fail_forked(error);
    return interrupted ? udfvm_fail(error, UDFVM_E_INTERRUPTED, "the wait for a VM was interrupted")
                       : UDFVM_OK;
}

static int fail_closed(struct udfvm_error *error)
{
    return udfvm_fail(error, UDFVM_E_CLOSED, "the pool is closed");
}

static int fail_for_ever(const struct udfvm_pool *pool, struct udfvm_error *error)
{
    udfvm_fail(
        error, UDFVM_E_BUSY,
        "all %u VMs of the pool are in use by the calls in the midst of which this one is made",
        pool->limit);
    if (error)
        error->os_errno = EDEADLK;
    return UDFVM_E_BUSY;
}

/* An idle VM, or NULL where the caller may make a new one, which is counted as live already. */
static int reserve(struct udfvm_pool *pool, const struct udfvm_image *image, struct wait *wait,
                   struct udfvm_vm **vm, struct udfvm_error *error)
{
    int code = UDFVM_OK;
    pthread_mutex_lock(&pool->lock);
    *vm = NULL;
    while (code == UDFVM_OK && !pool->closed && !(*vm = pick_idle(pool, image))) {
        if (pool->live < pool->limit) {
            pool->live++;
            break;
        }
        if (wait->began_ns == 0)
            *wait = begin_wait(wait->until_ns, wait->timeout_ns);
        code = udfvm_vms_out(pool) >= pool->limit ? fail_for_ever(pool, error)
                                                  : wait_for_vm(pool, wait, error);
    }
    if (code == UDFVM_OK && pool->closed)
        code = fail_closed(error);
    pthread_mutex_unlock(&pool->lock);
    return code;
}

static void forget_vm(struct udfvm_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->live--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

static int may_take(const struct udfvm_pool *pool, const struct udfvm_image *image,
                    struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (pool->generation != udfvm_fork_generation())
        return udfvm_fail(error, UDFVM_E_FORKED, "this pool belongs to the parent process");
    if (!udfvm_image_same_base(image, pool->base))
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "the image is not of this pool's base");
    return UDFVM_OK;
}

static uint64_t waited_ns(const struct wait *wait)
{
    return wait->began_ns ? udfvm_monotonic_ns() - wait->began_ns : 0;
}

/* The VM that a caller gets; NULL: there is none in the place that was reserved. */
static udfvm_vm *taken(struct udfvm_pool *pool, struct udfvm_vm *vm, uint64_t waited)
{
    if (!vm) {
        forget_vm(pool);
        return NULL;
    }
    vm->waited_ns = waited;
    vm->pool = pool;
    udfvm_pool_retain(pool);
    return vm;
}

udfvm_vm *udfvm_pool_take(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns,
                          struct udfvm_error *error)
{
    return udfvm_pool_take_in_time(pool, image, wait_ns, 0, error);
}

udfvm_vm *udfvm_pool_take_in_time(udfvm_pool *pool, udfvm_image *image, uint64_t wait_ns,
                                  uint64_t timeout_ns, struct udfvm_error *error)
{
    struct wait wait = { .until_ns = wait_ns, .timeout_ns = timeout_ns }; /* begins where it must */
    struct udfvm_vm *vm;
    if (may_take(pool, image, error) != UDFVM_OK ||
        reserve(pool, image, &wait, &vm, error) != UDFVM_OK)
        return NULL;
    const uint64_t waited = waited_ns(&wait);
    if (vm && udfvm_vm_bind(vm, image, error) != UDFVM_OK) {
        udfvm_vm_close(vm);
        vm = NULL;
    } else if (!vm) {
        vm = udfvm_vm_open(image, pool->files, error);
    }
    return taken(pool, vm, waited);
}

udfvm_vm *udfvm_pool_take_windows(udfvm_pool *pool, udfvm_image *image,
                                  const struct udfvm_windows *windows, uint64_t wait_ns,
                                  uint64_t timeout_ns, struct udfvm_error *error)
{
    struct wait wait = { .until_ns = wait_ns, .timeout_ns = timeout_ns };
    struct udfvm_vm *vm;
    if (may_take(pool, image, error) != UDFVM_OK ||
        reserve(pool, NULL, &wait, &vm, error) != UDFVM_OK)
        return NULL;
    const uint64_t waited = waited_ns(&wait);
    udfvm_vm_close(vm);
    return taken(pool, udfvm_vm_open_windows(image, windows, pool->files, error), waited);
}

/* Whether the VM is idle now: that of a closed pool is not kept. */
static bool put_idle(struct udfvm_pool *pool, struct udfvm_vm *vm, unsigned *too_many, bool *large)
{
    pthread_mutex_lock(&pool->lock);
    *large = vm->large;
    const bool kept = !pool->closed;
    if (kept) {
        pool->idle[pool->idle_count++] = (struct idle){ vm, udfvm_monotonic_ns() };
        pthread_cond_signal(&pool->freed);
    }
    *too_many = pool->idle_count > pool->max_idle ? pool->max_idle : UINT_MAX;
    pthread_mutex_unlock(&pool->lock);
    return kept;
}

int udfvm_pool_give(udfvm_pool *pool, udfvm_vm *vm)
{
    bool large = false;
    const bool own = pool->generation == udfvm_fork_generation();
    unsigned keep = UINT_MAX;
    udfvm_vm_set_watch(vm, NULL, NULL);
    udfvm_vm_set_idle_spin(vm, IDLE_SPIN_US);
    udfvm_vm_set_end(vm, 0);
    if (vm->once || udfvm_vm_restore(vm, NULL) != UDFVM_OK || !own ||
        !put_idle(pool, vm, &keep, &large)) {
        udfvm_vm_close(vm);
        if (own)
            forget_vm(pool);
    }
    if (keep != UINT_MAX)
        udfvm_pool_trim(pool, keep);
    udfvm_pool_close(pool);
    return large;
}

int udfvm_pool_give_small(udfvm_pool *pool, udfvm_vm *vm)
{
    if (!vm->once && udfvm_vm_restore(vm, NULL) == UDFVM_OK && vm->large &&
        udfvm_vm_drop_buffers(vm, NULL) != UDFVM_OK)
        vm->state = VM_BROKEN;
    return udfvm_pool_give(pool, vm);
}

/* One that became idle after `now` was asked for is not. */
static bool is_old(const struct idle *idle, uint64_t now, uint64_t idle_ns)
{
    return idle_ns == 0 || (now >= idle->since_ns && now - idle->since_ns >= idle_ns);
}

unsigned udfvm_pool_trim_old(udfvm_pool *pool, unsigned keep, uint64_t idle_ns)
{
    const uint64_t now = udfvm_monotonic_ns();
    if (pool->generation != udfvm_fork_generation())
        return 0;
    for (;;) {
        struct udfvm_vm *vm = NULL;
        pthread_mutex_lock(&pool->lock);
        if (pool->idle_count > keep && is_old(&pool->idle[0], now, idle_ns))
            vm = remove_idle(pool, 0);
        const unsigned left = pool->idle_count;
        pthread_mutex_unlock(&pool->lock);
        if (!vm)
            return left;
        udfvm_vm_close(vm);
        forget_vm(pool); /* now, not before: there are never more than the limit */
    }
}

/* Those that stay open and have been idle for so long give back what they do not need. */
static void shrink_old(struct udfvm_pool *pool, uint64_t now, uint64_t idle_ns)
{
    for (;;) {
        struct idle found = { .vm = NULL };
        unsigned i = 0;
        pthread_mutex_lock(&pool->lock);
        while (i < pool->idle_count &&
               !(pool->idle[i].vm->large && is_old(&pool->idle[i], now, idle_ns)))
            i++;
        if (i < pool->idle_count) {
            found = pool->idle[i];
            remove_idle(pool, i);
        }
        pthread_mutex_unlock(&pool->lock);
        if (!found.vm)
            return;
        const bool shrunk = udfvm_vm_shrink(found.vm, NULL) == UDFVM_OK;
        pthread_mutex_lock(&pool->lock);
        const bool kept = shrunk && !pool->closed;
        if (kept) { /* where it was: those behind it were used later */
            i = i < pool->idle_count ? i : pool->idle_count;
            memmove(&pool->idle[i + 1], &pool->idle[i],
                    (pool->idle_count++ - i) * sizeof *pool->idle);
            pool->idle[i] = found;
            pthread_cond_signal(&pool->freed);
        }
        pthread_mutex_unlock(&pool->lock);
        if (!kept) {
            udfvm_vm_close(found.vm);
            forget_vm(pool);
        }
    }
}

unsigned udfvm_pool_shrink_old(udfvm_pool *pool, uint64_t idle_ns)
{
    if (pool->generation != udfvm_fork_generation())
        return 0;
    shrink_old(pool, udfvm_monotonic_ns(), idle_ns);
    unsigned left = 0;
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->idle_count; i++)
        left += pool->idle[i].vm->large;
    pthread_mutex_unlock(&pool->lock);
    return left;
}

void udfvm_pool_trim(udfvm_pool *pool, unsigned keep)
{
    udfvm_pool_trim_old(pool, keep, 0);
}

void udfvm_pool_set_idle(udfvm_pool *pool, unsigned most)
{
    if (pool->generation != udfvm_fork_generation())
        return;
    pthread_mutex_lock(&pool->lock);
    pool->max_idle = most;
    const bool many = pool->idle_count > most;
    pthread_mutex_unlock(&pool->lock);
    if (many)
        udfvm_pool_trim(pool, most);
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
                                                  .idle = pool->idle_count };
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
        unregister_pool(pool);
    for (unsigned i = 0; i < pool->idle_count; i++)
        udfvm_vm_close(pool->idle[i].vm);
    udfvm_image_close(pool->base);
    if (pool->generation == udfvm_fork_generation()) { /* a child inherited them locked */
        pthread_cond_destroy(&pool->freed);
        pthread_mutex_destroy(&pool->lock);
    }
    free(pool->idle);
    free(pool);
}
