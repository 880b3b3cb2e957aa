/* Functions of a loaded shared object or program. */
#ifndef UDFVM_NATIVE_FUNCTION_H
#define UDFVM_NATIVE_FUNCTION_H

#include "shared/compiled/program.h"
#include "native/udfvm.h"

/* Prepares a function that udfvm.h describes, and returns its signature in *found. Returns false
 * with a failure. */
bool function_prepare(struct program *program, const struct udfvm_function *function,
                      struct signature *found);
/* Reads the signature of such a function. Returns false with a failure. */
bool function_signature(const struct udfvm_function *function, struct signature *found);
/* Prepares a function without a description, after checking that the declared signature can be
 * called. Returns false with a failure. */
bool c_function_prepare(struct program *program, void *address);

#endif
