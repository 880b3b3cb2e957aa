/* How the values that a module emits are a row of a table function. */
#ifndef UDFVM_WASM_ROW_PLAN_H
#define UDFVM_WASM_ROW_PLAN_H

#include "shared/compiled/builder.h"
#include "wasm/export_type.h"

/* Returns true if a module imports what takes the rows of a function. */
bool row_plan_is_there(const wasmtime_module *module, const char *function);
/* Finds the type of that import. Returns false with a failure if there is none, or if its values
 * are no such row, where one is declared. */
bool row_plan_find(const wasmtime_module *module, const char *function, const struct slot *row,
                   bool script, struct export_type *found);
/* Makes the slot of a row of such values, which no signature declares. */
void row_plan_describe(const struct export_type *type, struct slot *row);
/* Appends a row of emitted values; with `script`, text and bytes are objects of AssemblyScript.
 * Returns false with a failure. */
bool row_plan_append(const struct slot *row, bool script, const struct linear *linear,
                     const wasmtime_val *values, size_t count, struct builder *builder);

#endif
