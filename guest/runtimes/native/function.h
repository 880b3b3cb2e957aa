/* Functions of a loaded shared object or program. */
#ifndef UDFVM_NATIVE_FUNCTION_H
#define UDFVM_NATIVE_FUNCTION_H

#include "native/services.h"
#include "native/udfvm.h"
#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

/* A function that udfvm.h describes: the context of its program. */
struct described_function {
    const struct udfvm_function *function;
    bool is_nested; /* a parameter or the result is a list or struct */
    /* of a result that is a list or struct */
    struct builder builder;
    struct column column;
    struct ArrowArray unreleased; /* of a function of whole columns, until the next call */
    struct bytes validity;
};

/* Prepares a function that udfvm.h describes, and returns its signature in *found. Returns false
 * with a failure. */
bool function_prepare(struct program *program, const struct udfvm_function *function,
                      struct signature *found);
/* Reads the signature of such a function. Returns false with a failure. */
bool function_signature(const struct udfvm_function *function, struct signature *found);
/* Prepares a function without a description, after checking that the declared signature can be
 * called. Returns false with a failure. */
bool c_function_prepare(struct program *program, void *address);

/* Frees what the call before allocated, and forgets how it ended. */
void function_begin(struct udfvm_state *state);
/* Returns true, with a failure, if the function failed. */
bool function_failed(const struct udfvm_state *state);
/* Returns the first row, from `first` on, with a null inside of a list or struct whose type takes
 * none there; `end` if there is none. If there is one, there is a failure, and *parameter is its
 * index. Rows whose bit in `valid` is clear are not looked at; NULL: all are. */
int64_t function_takes(const struct described_function *described, const struct column *columns,
                       int64_t first, int64_t end, const uint8_t *valid, size_t *parameter);
/* Describes columns for the function. `nested` is what the result refers to. */
void function_inputs(const struct udfvm_function *function, const struct column *columns,
                     struct nested_input nested[], struct udfvm_input native[]);

#endif
