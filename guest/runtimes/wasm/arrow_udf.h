/* Modules for arrow-udf (github.com/arrow-udf/arrow-udf): functions from record batches to record
 * batches. */
#ifndef UDFVM_WASM_ARROW_UDF_H
#define UDFVM_WASM_ARROW_UDF_H

#include "wasm/module.h"

/* Whether the module says that it is one. */
bool arrow_udf_is(const wasmtime_module *module);
/* As numbers_prepare(), for the function `load->name`: its name, or its signature as the module has
 * it. */
bool arrow_udf_prepare(struct program *program, const struct load *load,
                       const struct wasm_module *module, const struct settings *settings,
                       struct signature *found);

#endif
