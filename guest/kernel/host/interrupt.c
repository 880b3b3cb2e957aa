#include "host/interrupt.h"

/* The host reads it at any time. */
static uint64_t *due(void)
{
    return &((struct udfvm_timer *)UDFVM_TIMER)->due_ns;
}

static void ask(uint64_t due_ns)
{
    if (__atomic_load_n(due(), __ATOMIC_RELAXED) != due_ns)
        __atomic_store_n(due(), due_ns, __ATOMIC_RELAXED);
}

void interrupt_at(uint64_t monotonic_ns)
{
    ask(monotonic_ns == NEVER_INTERRUPT ? 0 : maximum(monotonic_ns, 1));
}

uint64_t interrupt_hold_asked(void)
{
    const uint64_t before = __atomic_load_n(due(), __ATOMIC_RELAXED);
    ask(0);
    return before;
}
