/* Aggregates that udfvm_groups.h describes. */
#ifndef UDFVM_NATIVE_GROUP_FUNCTION_H
#define UDFVM_NATIVE_GROUP_FUNCTION_H

#include "native/function.h"

/* Returns true if the object defines all that belongs together. Returns false with a failure. */
bool group_function_fits(const struct udfvm_groups *groups);
/* Makes the program an aggregate. Its context is a struct described_function. */
void group_function_prepare(struct program *program, const struct udfvm_groups *groups);

#endif
