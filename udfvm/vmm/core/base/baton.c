/* Two threads that take turns. A kernel likes to place who wakes and who is woken on one processor.
 * There they hand over by going to sleep: one that looks only keeps the other from its turn. */
#include "base/baton.h"

#include <sched.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/futex.h"

#define YIELD_NS 30000u /* after so long, others may need the processor more */
#define LOOKS    32u    /* at the number, between two at the clock */

bool udfvm_baton_has_come(const struct baton *baton, unsigned number)
{
    return atomic_load_explicit(&baton->number, memory_order_acquire) == number;
}

void udfvm_baton_give(struct baton *baton, unsigned number)
{
    atomic_store_explicit(&baton->processor, sched_getcpu(), memory_order_relaxed);
    atomic_store(&baton->number, number);
    if (atomic_load(&baton->sleeps))
        futex_wake(&baton->number);
}

bool udfvm_baton_spin(const struct baton *baton, unsigned number, uint64_t ns)
{
    const uint64_t begin = udfvm_monotonic_ns();
    for (uint64_t now = begin; now < begin + ns; now = udfvm_monotonic_ns()) {
        if (atomic_load_explicit(&baton->processor, memory_order_relaxed) == sched_getcpu())
            break;
        for (unsigned i = 0; i < LOOKS; i++) {
            if (udfvm_baton_has_come(baton, number))
                return true;
            _mm_pause();
        }
        if (now - begin > YIELD_NS)
            sched_yield();
    }
    return udfvm_baton_has_come(baton, number);
}

bool udfvm_baton_sleep(struct baton *baton, unsigned number, uint64_t ns)
{
    bool signalled = false;
    atomic_store(&baton->sleeps, 1);
    if (!udfvm_baton_has_come(baton, number))
        signalled = futex_wait(&baton->number, number - 1, ns);
    atomic_store(&baton->sleeps, 0);
    return signalled;
}
