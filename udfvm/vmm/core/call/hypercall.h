/* Hypercalls, by which a guest ends an exchange or asks the host for something. */
#ifndef UDFVM_CALL_HYPERCALL_H
#define UDFVM_CALL_HYPERCALL_H

#include <stdbool.h>
#include <stdint.h>

struct registers;
struct udfvm_error;
struct udfvm_vm;

enum {
    HYPERCALL_CONTINUE = 0,
    HYPERCALL_COMPLETE = 1,
    HYPERCALL_SEAL = 2,
    HYPERCALL_FAILED = 3,
    HYPERCALL_INTERRUPTED = 4, /* none: the guest may go on, if nothing outside the call ends it */
};
/* Serves the hypercall in `regs`; its result goes to regs->rax. */
int udfvm_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);

/* ---- host_call.c ---- */

/* HYPERCALL_CONTINUE or HYPERCALL_FAILED. */
int udfvm_host_call(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);

/* Calls one: its result for the guest, or a failure that ends the call in `error`. */
int64_t udfvm_host_function(struct udfvm_vm *vm, const char *name, const void *arguments,
                            uint64_t length, void *reply, uint64_t capacity,
                            struct udfvm_error *error);
/* One more call: false if it is too many. */
bool udfvm_count_host_call(struct udfvm_vm *vm, struct udfvm_error *error);

/* ---- files.c ---- */

/* The embedder's file of a number that the guest knows; NULL: it has no such file open. */
const int64_t *udfvm_file_handle(const struct udfvm_vm *vm, uint64_t handle);
/* The number of a new one, or a negative errno; the status goes to `stat_out`. */
int64_t udfvm_file_open(struct udfvm_vm *vm, const char *path, void *stat_out);
int64_t udfvm_file_close(struct udfvm_vm *vm, uint64_t handle);

/* The result for the guest: negative errno on failure. */
int64_t udfvm_file_hypercall(struct udfvm_vm *vm, const struct registers *regs);
void udfvm_files_close_all(struct udfvm_vm *vm);

#endif
