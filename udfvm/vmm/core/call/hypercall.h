/* Hypercalls, by which a guest ends an exchange or asks the host for something. */
#ifndef UDFVM_CALL_HYPERCALL_H
#define UDFVM_CALL_HYPERCALL_H

#include <stdint.h>

struct registers;
struct udfvm_error;
struct udfvm_vm;

enum { HYPERCALL_CONTINUE = 0, HYPERCALL_COMPLETE = 1, HYPERCALL_SEAL = 2, HYPERCALL_FAILED = 3 };
/* Serves the hypercall in `regs`; its result goes to regs->rax. */
int udfvm_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);

/* ---- host_call.c ---- */

/* HYPERCALL_CONTINUE or HYPERCALL_FAILED. */
int udfvm_host_call(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);

/* ---- files.c ---- */

/* The result for the guest: negative errno on failure. */
int64_t udfvm_file_hypercall(struct udfvm_vm *vm, const struct registers *regs);
void udfvm_files_close_all(struct udfvm_vm *vm);

#endif
