/* Modules for arrow-udf (github.com/arrow-udf/arrow-udf): functions from record batches to record
 * batches. */
#ifndef UDFVM_WASM_ARROW_UDF_H
#define UDFVM_WASM_ARROW_UDF_H

#include "wasm/module.h"

/* Returns true if the module exports a version of the ABI. */
bool arrow_udf_is(const wasmtime_module *module);
/* Appends the module's functions: see shared/compiled/listing.h. */
void arrow_udf_list(const wasmtime_module *module, struct bytes *list);
/* Does what numbers_prepare() does, for the function `load->name`: its name, or its whole
 * signature. */
bool arrow_udf_prepare(struct program *program, const struct load *load,
                       const struct wasm_module *module, const struct settings *settings,
                       struct signature *found);

#endif
