/* What the program of a call writes to its standard output and error. */
#ifndef UDFVM_CALL_LOG_H
#define UDFVM_CALL_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct registers;
struct udfvm_error;
struct udfvm_log_part;
struct udfvm_vm;

struct log {
    pthread_mutex_t lock; /* in a streaming call the vCPU's thread adds to it */
    char *text;
    atomic_size_t length;
    size_t capacity;
    size_t given; /* bytes that the embedder has */
    struct udfvm_log_part *parts;
    size_t part_count, part_capacity;
    bool cut; /* the limit was reached: the rest is dropped */
};
void udfvm_log_create(struct log *log);
void udfvm_log_destroy(struct log *log);
void udfvm_log_clear(struct log *log);
/* NUL-terminated; free() it. NULL: there is no memory for it. */
char *udfvm_log_copy(const struct log *log);
/* Adds what was written to a stream, as it is: false where there is no memory for it. */
bool udfvm_log_add(struct log *log, int stream, const char *text, size_t length);
/* Keeps what was written in a call, up to its limit. */
int udfvm_log_print(struct udfvm_vm *vm, int stream, const char *text, size_t length,
                    struct udfvm_error *error);
/* HYPERCALL_CONTINUE or HYPERCALL_FAILED. */
int udfvm_log_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error);
/* An exchange ended with `code`; `failed`: so the guest says. Gives what is new to the embedder, on
 * the caller's thread. Returns the code, or UDFVM_E_HOST_FUNCTION. */
int udfvm_log_give(struct udfvm_vm *vm, int code, bool failed, struct udfvm_error *error);

#endif
