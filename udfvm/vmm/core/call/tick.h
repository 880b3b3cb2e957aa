/* Interruptions that the guest asks for: struct udfvm_timer of the ABI. Its threads take turns by
 * them, and timers expire.
 *
 * The guest does not leave to ask: a word of its memory says when. Whoever keeps the call's
 * deadline looks at it, and stops the vCPU for a moment; the thread that runs the vCPU then leads
 * the program into the guest kernel. A guest that writes nonsense is interrupted once in
 * TICK_RETRY_NS at the most. */
#ifndef UDFVM_CALL_TICK_H
#define UDFVM_CALL_TICK_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/machine.h"
#include "memory/memory.h"

#define TICK_NS       5000000u  /* from the beginning of a call to the first look */
#define MAX_TICK_NS   20000000u /* between two looks, where the guest asks for nothing */
#define TICK_RETRY_NS 1000000u  /* the least between two looks */

struct ticker {
    const struct udfvm_timer *timer; /* NULL: the guest is not interrupted */
    uint64_t next_ns;                /* when to look */
    uint64_t interval_ns;            /* between looks that found nothing */
};

/* From the beginning of a call, or of an exchange. */
void udfvm_ticker_start(struct ticker *ticker, const struct udfvm_timer *timer, uint64_t now);
/* A look at the time `next_ns`: true if the vCPU is to be stopped. */
bool udfvm_ticker_look(struct ticker *ticker, uint64_t now);

/* The vCPU was stopped, whatever for. If the guest asked for it by now, and its program can be
 * interrupted where it is, the next entry leads to UDFVM_VECTOR_INTERRUPT. */
void udfvm_tick(const struct machine *machine, const struct guest_memory *memory);
const struct udfvm_timer *udfvm_machine_timer(const struct machine *machine);

#endif
