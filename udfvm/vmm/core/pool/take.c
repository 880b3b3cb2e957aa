/* Taking a VM from a pool: an idle one, a new one, or after a wait. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "image/image.h"
#include "in_process/in_process.h"
#include "jail/jail.h"
#include "pool/pool.h"

#define WAIT_SLICE_NS 50000000ull /* between two looks whether a signal ends the wait */

/* The idle VM to use for `image`: one that is bound to it already, whose hot set is that of its
 * calls. Where as many are idle as are kept, or no new one may be made, the one used longest ago
 * moves over. Without an image: one that makes room for another, where that is needed. */
static struct udfvm_vm *pick_idle(struct udfvm_pool *pool, const struct udfvm_image *image)
{
    if (!image)
        return pool->idle_count && pool->live == pool->limit ? udfvm_pool_remove_idle(pool, 0)
                                                             : NULL;
    for (unsigned i = pool->idle_count; i-- > 0;)
        if (pool->idle[i].vm->memory.image == image)
            return udfvm_pool_remove_idle(pool, i);
    const bool moves = pool->idle_count &&
                       (pool->idle_count >= pool->max_idle || pool->live == pool->limit);
    return moves ? udfvm_pool_remove_idle(pool, 0) : NULL;
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

struct phrase {
    char text[48];
};

/* Names all VMs of a pool, as the subject of a sentence with the right form of a verb. */
static struct phrase all_vms(const struct udfvm_pool *pool, const char *is, const char *are)
{
    struct phrase made;
    if (pool->limit == 1)
        snprintf(made.text, sizeof made.text, "the only VM of the pool %s", is);
    else
        snprintf(made.text, sizeof made.text, "all %u VMs of the pool %s", pool->limit, are);
    return made;
}

static int waited_too_long(const struct udfvm_pool *pool, const struct wait *wait,
                           struct udfvm_error *error)
{
    if (wait->until_ns < wait->end_ns)
        return udfvm_fail(error, UDFVM_E_BUSY, "%s busy", all_vms(pool, "is", "are").text);
    if (udfvm_deadline_of_thread() == wait->end_ns)
        return udfvm_fail(error, UDFVM_E_TIMEOUT,
                          "the call is part of one whose deadline passed while %s busy",
                          all_vms(pool, "was", "were").text);
    return udfvm_fail(error, UDFVM_E_TIMEOUT, "the call did not begin within %.3g s: %s busy",
                      (double)wait->timeout_ns / 1e9, all_vms(pool, "was", "were").text);
}

/* Waits for a VM to be given back, for a slice of time at most. Called with the lock held. */
static int wait_for_vm(struct udfvm_pool *pool, const struct wait *wait, struct udfvm_error *error)
{
    const uint64_t until_ns = wait->until_ns < wait->end_ns ? wait->until_ns : wait->end_ns;
    const uint64_t now = udfvm_monotonic_ns(), slice = now + WAIT_SLICE_NS,
                   end_ns = until_ns < slice ? until_ns : slice;
    if (now >= until_ns)
        return waited_too_long(pool, wait, error);
    if (udfvm_condition_wait(&pool->freed, &pool->lock, end_ns))
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
    udfvm_fail(error, UDFVM_E_BUSY, "%s in use by the calls that this one is part of",
               all_vms(pool, "is", "are").text);
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

static udfvm_vm *open_vm(const struct udfvm_pool *pool, udfvm_image *image,
                         const struct udfvm_windows *windows, struct udfvm_error *error)
{
    if (pool->base->program) {
        if (!pool->jailed)
            return udfvm_in_process_open(image, windows, pool->files, error);
        udfvm_fail(error, UDFVM_E_JAIL, "what runs in this process cannot be jailed");
        return NULL;
    }
    if (pool->jailed)
        return udfvm_jail_open(image, windows, pool->files, pool->data, pool->cgroup, error);
    udfvm_vm *vm = windows ? udfvm_vm_open_windows(image, windows, pool->files, error)
                           : udfvm_vm_open(image, pool->files, error);
    if (vm && pool->data && udfvm_vm_give_data(vm, pool->data, error) != UDFVM_OK) {
        udfvm_vm_close(vm);
        vm = NULL;
    }
    return vm;
}

/* The VM that a caller gets; NULL: there is none in the place that was reserved. */
static udfvm_vm *taken(struct udfvm_pool *pool, struct udfvm_vm *vm, uint64_t since,
                       uint64_t waited)
{
    if (!vm) {
        udfvm_pool_forget_vm(pool);
        return NULL;
    }
    if (!vm->listed)
        udfvm_pool_add_vm(pool, vm);
    udfvm_costs_begin(vm, since);
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
    const uint64_t since = udfvm_ticks();
    struct wait wait = { .until_ns = wait_ns, .timeout_ns = timeout_ns }; /* begins where it must */
    struct udfvm_vm *vm;
    if (may_take(pool, image, error) != UDFVM_OK ||
        reserve(pool, image, &wait, &vm, error) != UDFVM_OK)
        return NULL;
    const uint64_t waited = waited_ns(&wait);
    if (vm && !udfvm_vm_usable(vm)) { /* it died while it was idle: another takes its place */
        udfvm_pool_close_vm(pool, vm, UDFVM_VM_ENDED_DIED);
        vm = NULL;
    }
    const int bound = vm ? udfvm_vm_bind(vm, image, error) : UDFVM_OK;
    if (bound != UDFVM_OK) { /* so does one that an earlier call broke */
        udfvm_pool_close_vm(pool, vm, UDFVM_VM_ENDED_BROKEN);
        vm = NULL;
    }
    if (!vm && bound != UDFVM_E_FORKED)
        vm = open_vm(pool, image, NULL, error);
    return taken(pool, vm, since, waited);
}

udfvm_vm *udfvm_pool_take_windows(udfvm_pool *pool, udfvm_image *image,
                                  const struct udfvm_windows *windows, uint64_t wait_ns,
                                  uint64_t timeout_ns, struct udfvm_error *error)
{
    const uint64_t since = udfvm_ticks();
    struct wait wait = { .until_ns = wait_ns, .timeout_ns = timeout_ns };
    struct udfvm_vm *vm;
    if (may_take(pool, image, error) != UDFVM_OK ||
        reserve(pool, NULL, &wait, &vm, error) != UDFVM_OK)
        return NULL;
    const uint64_t waited = waited_ns(&wait);
    if (vm)
        udfvm_pool_close_vm(pool, vm, UDFVM_VM_ENDED_ROOM);
    return taken(pool, open_vm(pool, image, windows, error), since, waited);
}
