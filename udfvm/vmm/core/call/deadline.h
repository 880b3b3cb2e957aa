/* The deadline of a call, as the thread sees it that runs the vCPU. */
#ifndef UDFVM_CALL_DEADLINE_H
#define UDFVM_CALL_DEADLINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "call/tick.h"

struct hypervisor;
struct udfvm_error;

#define UDFVM_WATCH_NS 50000000u

enum {
    DEADLINE_NONE,
    DEADLINE_RUNS,
    DEADLINE_KICKED,
    DEADLINE_HELD, /* by the watchdog, or by its thread after a look: who holds it changes it */
};
struct deadline {
    struct hypervisor *hypervisor;
    atomic_uint state;
    atomic_bool expired;
    atomic_bool due;      /* it is time for a look */
    atomic_bool ticked;   /* the vCPU was stopped for the guest alone */
    atomic_bool entered;  /* the thread is in the guest, or about to be */
    bool looks;           /* asks for a look at the thread every UDFVM_WATCH_NS, ahead of the end */
    bool of_outer;        /* its end is that of `outer` */
    _Atomic pid_t thread; /* that enters the guest */
    uint64_t end_ns;
    uint64_t look_ns;         /* when it is time for a look; UDFVM_NEVER: none */
    struct ticker ticker;     /* `timer` is set before the deadline starts */
    _Atomic uint64_t next_ns; /* when the watchdog must see to it */
    uint64_t seen_ns;         /* the same, as the watchdog saw it last */
    unsigned kicks;
    struct deadline *outer; /* of the call that waits for this one: a host function or a signal
                               handler made it */
    unsigned generation;    /* of the process in whose list it is */
    struct deadline *following, **link;
};
/* On the thread that makes the call, and so is stop. The deadline ends with that of the call that
 * this one is part of, if that is sooner. */
int udfvm_deadline_start(struct deadline *deadline, struct hypervisor *hypervisor,
                         uint64_t timeout_ns, struct udfvm_error *error);
/* The same, of a deadline that the thread keeps itself, and so is leave: `end_ns` is set. */
void udfvm_deadline_enter(struct deadline *deadline, uint64_t timeout_ns);
void udfvm_deadline_leave(struct deadline *deadline);
/* The vCPU was stopped for the guest, and for nothing else. */
bool udfvm_deadline_only_ticked(struct deadline *deadline);
/* The look was taken: the vCPU may run on. */
void udfvm_deadline_looked(struct deadline *deadline);
/* It ends later, but not after that of the call that this one is part of. On the thread that makes
 * the call. */
void udfvm_deadline_extend(struct deadline *deadline, uint64_t end_ns);
void udfvm_deadline_stop(struct deadline *deadline);
bool udfvm_deadline_passed(const struct deadline *deadline);
/* The end of the call that this thread is in the middle of; UDFVM_NEVER: of none. */
uint64_t udfvm_deadline_of_thread(void);
/* In a forked child, whose thread is in the middle of no call. */
void udfvm_deadline_forget(void);

/* The next time at which the watchdog must see to the call. */
static inline uint64_t udfvm_deadline_next(const struct deadline *deadline)
{
    const uint64_t look = deadline->look_ns < deadline->end_ns ? deadline->look_ns
                                                               : deadline->end_ns;
    return deadline->ticker.next_ns < look ? deadline->ticker.next_ns : look;
}

#endif
