/* Hardened calls: vCPUs run on threads of the core's own, behind a filter of system calls. */
#ifndef UDFVM_CALL_VCPU_THREAD_H
#define UDFVM_CALL_VCPU_THREAD_H

#include <stdbool.h>

struct udfvm_error;
struct udfvm_vm;

/* Something that a thread behind the filter needs done by the thread that made the call. */
struct errand {
    void (*run)(void *context);
    void *context;
    bool done;
};

/* udfvm_harden() was called, or the environment says so. */
bool udfvm_is_hardened(void);
/* Runs the vCPU on a thread behind the filter, as udfvm_vm_run_vcpu does on this one. */
int udfvm_vcpu_thread_run(struct udfvm_vm *vm, struct udfvm_error *error);
/* Puts the filter around this thread, for good. */
int udfvm_vcpu_filter_install(struct udfvm_error *error);
/* Puts the filter around this thread, which enters guests from now on, if calls are hardened. */
int udfvm_vcpu_thread_begin(struct udfvm_error *error);
/* This thread is behind the filter. */
bool udfvm_on_vcpu_thread(void);
/* Runs code of the embedder, or of the core where that needs system calls that the filter refuses:
 * on the thread that made the call. Returns false where that thread ends the call instead. */
bool udfvm_outside(struct udfvm_vm *vm, void (*run)(void *context), void *context);
/* The same, in a call of `vm`, on the thread that made it. */
void udfvm_errand_run(struct udfvm_vm *vm, const struct errand *errand);

/* Around a fork, and in the child, which has no such threads. */
void udfvm_vcpu_threads_before_fork(void);
void udfvm_vcpu_threads_in_parent(void);
void udfvm_vcpu_threads_forget(void);

#endif
