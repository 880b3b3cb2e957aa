/* Telling the embedder that VMs start and end: without a hook, a look at one pointer. And what it
 * is told of their restores. */
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/process.h"
#include "pool/pool.h"

typedef void vm_hook(const struct udfvm_vm_notice *notice);

static vm_hook *_Atomic hook;

void udfvm_set_vm_hook(void (*wanted)(const struct udfvm_vm_notice *notice))
{
    atomic_store(&hook, wanted);
}

void udfvm_pool_tell(const struct udfvm_pool *pool, const struct udfvm_vm *vm,
                     enum udfvm_vm_event event)
{
    vm_hook *const tell = atomic_load_explicit(&hook, memory_order_acquire);
    if (!tell || udfvm_vm_forked(vm))
        return;
    const struct udfvm_vm_notice notice = {
        .pool = pool,
        .event = event,
        .jailed = vm->remote && vm->remote->in_jail,
        .calls = vm->calls,
        .ns = udfvm_monotonic_ns() - vm->begun_ns,
    };
    tell(&notice);
}

#define SETTLE_NS      1000000000ull
#define SETTLE_LOOK_NS 50000

static bool settle_idle(struct udfvm_pool *pool)
{
    bool settled = true;
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->idle_count; i++) {
        struct udfvm_vm *vm = pool->idle[i].vm;
        if (vm->remote && vm->remote->settle)
            settled &= vm->remote->settle(vm);
    }
    pthread_mutex_unlock(&pool->lock);
    return settled;
}

void udfvm_pool_settle(udfvm_pool *pool)
{
    const uint64_t end_ns = udfvm_monotonic_ns() + SETTLE_NS;
    if (pool->generation != udfvm_fork_generation())
        return;
    while (!settle_idle(pool) && udfvm_monotonic_ns() < end_ns)
        nanosleep(&(struct timespec){ .tv_nsec = SETTLE_LOOK_NS }, NULL);
}
