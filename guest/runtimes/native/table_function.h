/* Table functions that udfvm_table.h describes. */
#ifndef UDFVM_NATIVE_TABLE_FUNCTION_H
#define UDFVM_NATIVE_TABLE_FUNCTION_H

#include "native/function.h"

/* Makes the program a table function, and sets its context. */
void table_function_prepare(struct program *program, const struct described_function *described);

#endif
