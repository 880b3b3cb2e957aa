/* One exchange with the guest: the request goes in, the vCPU runs, the reply comes out. */
#ifndef UDFVM_CALL_EXCHANGE_H
#define UDFVM_CALL_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "call/vm.h"

/* ---- request.c ---- */

/* Puts a request into the input window, in a call that goes on. */
int udfvm_vm_place_request(struct udfvm_vm *vm, uint32_t request, const void *input,
                           uint64_t length, struct udfvm_error *error);
/* Writes a short payload behind the call page's structure, and zeroes the rest of the one before.
 */
void udfvm_vm_place_short(struct udfvm_vm *vm, const void *input, uint64_t length);
/* Sets the limits of an exchange, and puts its request into the input window. */
int udfvm_vm_place(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                   const struct udfvm_limits *limits, struct udfvm_error *error);
/* The time that the call has which begins, less what was waited for its VM; 0: any. */
uint64_t udfvm_vm_time_left(struct udfvm_vm *vm);
/* Says that a reply of so many bytes is longer than the limits allow. */
int udfvm_vm_fail_output(const struct udfvm_vm *vm, uint64_t length, struct udfvm_error *error);
/* Checks how long a reply says that it is, and of what kind; the window has the rest. */
int udfvm_vm_completed(struct udfvm_vm *vm, uint64_t status, uint64_t length,
                       struct udfvm_reply *reply, struct udfvm_error *error);
/* Where the guest says when it wants to be interrupted; NULL: it is not, in this call. */
const struct udfvm_timer *udfvm_vm_timer(const struct udfvm_vm *vm);
/* Puts a request into the input window and starts the deadline. */
int udfvm_vm_request(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                     const struct udfvm_limits *limits, struct udfvm_error *error);

/* ---- run.c ---- */

/* Runs the vCPU until the guest completes, seals or fails; sets vm->state. */
int udfvm_vm_run(struct udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error);
/* Runs until a hypercall that ends this exchange, or a signal: HYPERCALL_COMPLETE, _SEAL, _FAILED
 * or _INTERRUPTED. */
int udfvm_vm_run_vcpu(struct udfvm_vm *vm, struct udfvm_error *error);
/* The deadline passed: the call's own, or that of the call that it is part of. */
int udfvm_vm_fail_timeout(const struct udfvm_vm *vm, struct udfvm_error *error);
int udfvm_vm_fail_own_timeout(const struct udfvm_vm *vm, struct udfvm_error *error);
/* Asks the watch, if there is one. */
bool udfvm_vm_watched_out(struct udfvm_vm *vm);

/* ---- processor.c ---- */

/* The next entry begins a call at the sealed state. */
void udfvm_vm_enter_sealed(struct udfvm_vm *vm);
/* After a call, however it ended, and after the dirty log was read: another VM of the hypervisor
 * may take the place of this one. */
int udfvm_vm_restore_processor(struct udfvm_vm *vm, struct udfvm_error *error);
/* The hypervisor refused to enter the VM at all. */
bool udfvm_vm_never_began(const struct udfvm_vm *vm);

#endif
