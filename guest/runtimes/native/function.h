/* Functions of a loaded shared object or program. */
#ifndef UDFVM_NATIVE_FUNCTION_H
#define UDFVM_NATIVE_FUNCTION_H

#include "shared/compiled/program.h"
#include "native/udfvm.h"

/* A function that udfvm.h described; *found is its signature. false with a failure. */
bool function_prepare(struct program *program, const struct udfvm_function *function,
                      struct signature *found);
/* A function without a description: checks that the declared signature can be called. false with a
 * failure. */
bool c_function_prepare(struct program *program, void *address);

#endif
