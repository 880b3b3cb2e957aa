/* Batons of two threads, maybe of two processes, that take turns: each gives its own by the next
 * number, and waits for the other's. */
#ifndef UDFVM_BASE_BATON_H
#define UDFVM_BASE_BATON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct baton {
    atomic_uint number;   /* that was given last: a futex */
    atomic_int processor; /* of who gave it */
    atomic_uint sleeps;   /* who waits for it sleeps, or is about to */
};

bool udfvm_baton_has_come(const struct baton *baton, unsigned number);
void udfvm_baton_give(struct baton *baton, unsigned number);
/* Waits by looking, because sleeping and waking up takes as long as a call. Returns whether it
 * came. Where the other was last seen on this very processor, looking would keep it from that. */
bool udfvm_baton_spin(const struct baton *baton, unsigned number, uint64_t ns);
/* Waits asleep, until it came, a signal came, or the time (0: any) is over. Returns whether a
 * signal did. */
bool udfvm_baton_sleep(struct baton *baton, unsigned number, uint64_t ns);

#endif
