/* Table functions of modules: exports without a result that pass each row to the import
 * udfvm.emit_NAME, which has the export's name. */
#ifndef UDFVM_WASM_MODULE_TABLE_H
#define UDFVM_WASM_MODULE_TABLE_H

#include "wasm/module.h"

/* Returns true if a module imports what takes the rows of a function. */
bool module_table_is(const wasmtime_module *module, const char *name);
/* Finds the types of such a function, which is not declared, without an instance. Returns false
 * with a failure. */
bool module_table_signature(const wasmtime_module *module, const char *name,
                            struct signature *signature);
/* Loads the function, and takes over the module. Returns false with a failure. */
bool module_table_prepare(struct program *program, const struct load *load,
                          const struct wasm_module *module, const struct settings *settings,
                          struct signature *found);

#endif
