/* The host interrupted the program: UDFVM_VECTOR_INTERRUPT. */
#include "host/call.h"
#include "signal/signal.h"

void interrupt(void);              /* entry.S */
HOT_DATA uint64_t interrupted_rcx; /* entry.S: while no register is free */

/* entry.S has saved all other registers of the current thread. */
void interrupt(void)
{
    struct thread *self = current;
    self->user.rip = call_page()->interrupted_rip;
    self->user.rflags = call_page()->interrupted_rflags;
    thread_interrupted();
    if (signal_is_pending(self))
        signals_deliver(self, 0);
}
