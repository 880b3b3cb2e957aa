/* Exported functions over more than numbers: text and bytes in the module's memory, v128, several
 * results or none. Each row is a call. */
#ifndef UDFVM_WASM_EXPORT_FUNCTION_H
#define UDFVM_WASM_EXPORT_FUNCTION_H

#include "wasm/export_type.h"

/* Loads the function, and takes over the module. Returns false with a failure. */
bool export_function_prepare(struct program *program, const struct load *load,
                             const struct wasm_module *module, const struct export_type *type,
                             struct signature *found);

#endif
