/* Table functions of modules for arrow-udf. */
#ifndef UDFVM_WASM_ARROW_TABLE_H
#define UDFVM_WASM_ARROW_TABLE_H

#include "wasm/arrow_abi.h"

/* Sets table and context for the function that arrow_find() found, and takes it over. Returns
 * Returns false with a failure. */
bool arrow_table_prepare(struct program *program, const struct arrow_module *arrow,
                         const struct signature *found);

#endif
