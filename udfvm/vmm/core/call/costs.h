/* What the call costs that a VM is in: in each moment one phase of it is timed. At its end that
 * becomes a struct udfvm_call_report of the function's account.
 *
 * Time stamps of the processor cost least. Where a row takes less time than a few of them, in
 * streaming calls, only some exchanges have one; and what each exchange does is inline here. */
#ifndef UDFVM_CALL_COSTS_H
#define UDFVM_CALL_COSTS_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#include "udfvm_abi.h"

#include "api.h"
#include "base/clock.h"

#define COSTS_ALL_TIMED  64u /* streamed exchanges of a call, from the first on */
#define COSTS_TIMED_EACH 16u /* after those, one of so many stands for all of them */

struct udfvm_vm;

enum phase {
    PHASE_HOST,    /* the program's own code, and what the core does for it */
    PHASE_COPY,    /* a request is written to the window, or a reply read there */
    PHASE_GUEST,   /* the vCPU runs, or another process with it */
    PHASE_RESTORE, /* the VM is put back */
    PHASES
};

struct costs {
    struct udfvm_account *account; /* of the call; NULL: nothing is noted */
    enum phase phase, after;       /* `after`: what follows the next reply */
    uint64_t since, ticks[PHASES]; /* __rdtsc() */
    uint64_t exits;                /* of the VM as the call began */
    uint64_t rows, exchanges, input, output;
    uint64_t log;     /* bytes that the guest wrote to its standard output and error */
    uint64_t peak;    /* bytes of guest memory in use at most */
    uint64_t sampled; /* ticks of streamed exchanges in the guest */
    int code, status; /* of the last exchange */
    bool streamed;
};

/* The VM is in another phase from now on. */
static inline void udfvm_costs_phase(struct costs *costs, enum phase phase)
{
    const uint64_t now = __rdtsc();
    costs->ticks[costs->phase] += udfvm_ticks_between(costs->since, now);
    costs->since = now;
    costs->phase = phase;
}

/* A VM is there for a call, whose time began at a time stamp. */
void udfvm_costs_begin(struct udfvm_vm *vm, uint64_t since);
/* An exchange begins: the call's first, if it is at its sealed state. */
void udfvm_costs_exchange(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                          const struct udfvm_limits *limits);
/* Its request is written from now on. */
void udfvm_costs_placing(struct udfvm_vm *vm);

/* It ended; returns the code. `reply`: where the code is UDFVM_OK. */
static inline int udfvm_costs_replied(struct costs *costs, int code,
                                      const struct udfvm_reply *reply)
{
    costs->code = code;
    costs->status = code == UDFVM_OK ? reply->status : UDFVM_STATUS_OK;
    if (code != UDFVM_OK)
        return code;
    costs->output += reply->length;
    if (costs->after != PHASE_HOST)
        udfvm_costs_phase(costs, costs->after);
    return code;
}

/* Of a streamed exchange, some of which are timed. */
static inline void udfvm_costs_streamed(struct costs *costs, uint64_t posted_at)
{
    costs->streamed = true;
    if (costs->exchanges > COSTS_ALL_TIMED && costs->exchanges % COSTS_TIMED_EACH != 0)
        return;
    costs->sampled += udfvm_ticks_between(posted_at, __rdtsc()) *
                      (costs->exchanges > COSTS_ALL_TIMED ? COSTS_TIMED_EACH : 1);
}

/* The call is over: the VM is put back from now on. */
void udfvm_costs_restore(struct udfvm_vm *vm);
/* Another process says what the last restore found: the call's report gets it. */
void udfvm_costs_restored(struct udfvm_vm *vm, uint64_t pages, uint64_t written);
/* It will not say it. */
void udfvm_costs_forget_restore(struct udfvm_vm *vm);
/* It is put back, as far as it will be: the call is noted. */
void udfvm_costs_end(struct udfvm_vm *vm);

#endif
