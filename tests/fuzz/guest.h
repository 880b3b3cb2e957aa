/* A hypervisor whose guest does what the input of a fuzzer says, in the place of
 * udfvm/vmm/core/kvm. It writes only where ring 3 can, and each entry ends as one of the guest's
 * could. */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "call/vm.h"
#include "input.h"

/* What the guest does when it is entered next. */
enum guest_kind {
    GUEST_COMPLETES, /* completes with the reply */
    GUEST_OBEYS,     /* does what the input says until that is used up, then completes */
    GUEST_STREAMS,   /* answers requests of a streaming call as the input says */
    GUEST_SEALS,     /* asks to be sealed */
};
struct guest {
    enum guest_kind kind;
    uint64_t status;
    bool maps;          /* SEALS: pages of the reserve are mapped then */
    unsigned replies;   /* COMPLETES: so many replies, then empty ones */
    struct input input; /* COMPLETES: each reply */
};
extern struct guest guest;

/* A base image, and a layer of it, that an honest guest sealed. Each call makes new files, of which
 * the caller closes the descriptor. */
int guest_seal_base(void);
int guest_seal_layer(udfvm_image *base);
/* Fails the run where a VM that is restored is not as the image has it: in what the guest wrote,
 * and the host for it. */
void guest_check_restored(const udfvm_vm *vm);

#endif
