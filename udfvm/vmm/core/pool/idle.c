/* Giving a VM back to its pool, and the pool's idle VMs: how many stay, and how much memory they
 * keep. */
#include <limits.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/process.h"
#include "call/streaming.h"
#include "pool/pool.h"

/* Whether the VM is idle now: that of a closed pool is not kept. */
static bool put_idle(struct udfvm_pool *pool, struct udfvm_vm *vm, unsigned *too_many, bool *large)
{
    pthread_mutex_lock(&pool->lock);
    *large = vm->memory.large;
    const bool kept = !pool->closed;
    if (kept) {
        pool->idle[pool->idle_count++] = (struct idle){ vm, udfvm_monotonic_ns() };
        pthread_cond_signal(&pool->freed);
    }
    *too_many = pool->idle_count > pool->max_idle ? pool->max_idle : UINT_MAX;
    pthread_mutex_unlock(&pool->lock);
    return kept;
}

/* Restoring a VM may wait for its guest, and looks for interrupts meanwhile. Those are no longer of
 * the one who gives it back. */
static void forget_user(udfvm_vm *vm)
{
    udfvm_vm_set_watch(vm, NULL, NULL);
    udfvm_vm_set_idle_spin(vm, IDLE_SPIN_US);
    udfvm_vm_set_end(vm, 0);
}

/* UDFVM_VM_STARTED: it is idle now; else why it cannot be. */
static enum udfvm_vm_event put_back(struct udfvm_pool *pool, struct udfvm_vm *vm, bool own,
                                    unsigned *too_many, bool *large)
{
    if (vm->once)
        return UDFVM_VM_ENDED_ONCE;
    if (udfvm_vm_restore(vm, NULL) != UDFVM_OK || !own)
        return UDFVM_VM_ENDED_BROKEN;
    return put_idle(pool, vm, too_many, large) ? UDFVM_VM_STARTED : UDFVM_VM_ENDED_SHUT;
}

/* A jailed VM whose process died got another while it was in use: one VM less, and one more. */
static void tell_renewed(const struct udfvm_pool *pool, struct udfvm_vm *vm)
{
    if (vm->renewed_ns == 0)
        return;
    udfvm_pool_tell(pool, vm, UDFVM_VM_ENDED_DIED);
    vm->calls = 0;
    vm->begun_ns = udfvm_monotonic_ns() - vm->renewed_ns;
    udfvm_pool_tell(pool, vm, UDFVM_VM_STARTED);
    vm->renewed_ns = 0;
}

static int give(struct udfvm_pool *pool, struct udfvm_vm *vm)
{
    bool large = false;
    const bool own = pool->generation == udfvm_fork_generation();
    unsigned keep = UINT_MAX;
    forget_user(vm);
    tell_renewed(pool, vm);
    const enum udfvm_vm_event event = put_back(pool, vm, own, &keep, &large);
    if (event != UDFVM_VM_STARTED) {
        udfvm_pool_close_vm(pool, vm, event);
        if (own)
            udfvm_pool_forget_vm(pool);
    }
    if (keep != UINT_MAX)
        udfvm_pool_trim(pool, keep);
    udfvm_pool_close(pool);
    return large;
}

/* The hook may make calls, which find the VM idle. */
int udfvm_pool_give(udfvm_pool *pool, udfvm_vm *vm)
{
    struct ended ended;
    ended.report.number = 0;
    vm->ended = &ended;
    const int large = give(pool, vm);
    udfvm_report_tell(&ended);
    return large;
}

int udfvm_pool_give_small(udfvm_pool *pool, udfvm_vm *vm)
{
    struct ended ended;
    ended.report.number = 0;
    vm->ended = &ended;
    forget_user(vm);
    if (!vm->once && udfvm_vm_restore(vm, NULL) == UDFVM_OK && vm->memory.large &&
        udfvm_vm_drop_buffers(vm, NULL) != UDFVM_OK)
        vm->state = VM_BROKEN;
    const int large = give(pool, vm);
    udfvm_report_tell(&ended);
    return large;
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
            vm = udfvm_pool_remove_idle(pool, 0);
        const unsigned left = pool->idle_count;
        const bool shut = pool->closed;
        pthread_mutex_unlock(&pool->lock);
        if (!vm)
            return left;
        udfvm_pool_close_vm(pool, vm,
                            shut      ? UDFVM_VM_ENDED_SHUT
                            : idle_ns ? UDFVM_VM_ENDED_IDLE
                                      : UDFVM_VM_ENDED_SURPLUS);
        udfvm_pool_forget_vm(pool); /* now, not before: there are never more than the limit */
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
               !(pool->idle[i].vm->memory.large && is_old(&pool->idle[i], now, idle_ns)))
            i++;
        if (i < pool->idle_count) {
            found = pool->idle[i];
            udfvm_pool_remove_idle(pool, i);
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
            udfvm_pool_close_vm(pool, found.vm,
                                shrunk ? UDFVM_VM_ENDED_SHUT : UDFVM_VM_ENDED_BROKEN);
            udfvm_pool_forget_vm(pool);
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
        left += pool->idle[i].vm->memory.large;
    pthread_mutex_unlock(&pool->lock);
    return left;
}

void udfvm_pool_trim(udfvm_pool *pool, unsigned keep)
{
    udfvm_pool_trim_old(pool, keep, 0);
}
