/* Types of parameters and results in WebAssembly. */
#ifndef UDFVM_WASM_VALUE_TYPE_H
#define UDFVM_WASM_VALUE_TYPE_H

#include <stdbool.h>

#include "shared/compiled/bytes.h"
#include "wasm/wasmtime.h"

/* Returns the kind of a type; false for a reference, which has none. */
bool value_type_kind(const wasm_valtype *type, enum wasm_kind *kind);
/* Returns a type's name in the text format. References that are not externref or funcref are all
 * called "a reference". */
const char *value_type_name(const wasm_valtype *type);
const char *value_kind_name(enum wasm_kind kind);
/* Appends a function's type as in the text format: (param i32 f64) (result i32). */
void function_type_write(const wasm_functype *type, struct bytes *to);

#endif
