/* Asks the host to interrupt the program at a time. */
#ifndef UDFVM_INTERRUPT_H
#define UDFVM_INTERRUPT_H

#include "kernel.h"

/* Replaces what was asked for before. The time is one of monotonic_ns(); NEVER_INTERRUPT: not at
 * all. Whoever asks for nothing, and has asked for nothing before, dirties no page. */
#define NEVER_INTERRUPT UINT64_MAX
void interrupt_at(uint64_t monotonic_ns);
/* Asks for nothing, and returns what was asked for. Each exchange of a streaming call does it, so
 * it is short where nothing was. */
uint64_t interrupt_hold_asked(void);
static inline uint64_t interrupt_hold(void)
{
    const struct udfvm_timer *timer = (const struct udfvm_timer *)UDFVM_TIMER;
    return __atomic_load_n(&timer->due_ns, __ATOMIC_RELAXED) ? interrupt_hold_asked()
                                                             : NEVER_INTERRUPT;
}

#endif
