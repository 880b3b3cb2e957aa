/* The process: forks that were made of it, and interrupts. */
#include "base/process.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "api.h"

static atomic_uint fork_generation = 1;
static int (*_Atomic interrupt_hook)(void);

unsigned udfvm_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

void udfvm_fork_generation_next(void)
{
    atomic_fetch_add(&fork_generation, 1);
}

void udfvm_set_interrupt_hook(int (*hook)(void))
{
    atomic_store(&interrupt_hook, hook);
}

bool udfvm_interrupted(void)
{
    int (*hook)(void) = atomic_load(&interrupt_hook);
    return hook && hook() != 0;
}

bool udfvm_may_be_interrupted(void)
{
    return atomic_load_explicit(&interrupt_hook, memory_order_relaxed) != NULL;
}

unsigned udfvm_processors(void)
{
    static atomic_uint processors;
    unsigned count = atomic_load_explicit(&processors, memory_order_relaxed);
    if (count == 0) {
        cpu_set_t set;
        count = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
        atomic_store(&processors, count);
    }
    return count;
}
