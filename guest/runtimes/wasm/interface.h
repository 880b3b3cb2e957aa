/* Exports and imports of modules and components by name, and the errors about missing ones. */
#ifndef UDFVM_WASM_INTERFACE_H
#define UDFVM_WASM_INTERFACE_H

#include <stdbool.h>

#include "wasm/wasmtime.h"

/* Checks the type of an exported function. Returns false with a failure if the function cannot
 * be used. */
typedef bool export_taker(const wasm_functype *type, const char *name, void *into);
/* Returns true if a module exports a function `name`, and `take`, if it is not NULL, accepts its
 * type. Otherwise returns false with a failure: that of `take`, or one that lists the functions
 * that the module exports. */
bool module_function(const wasmtime_module *module, const char *name, export_taker *take,
                     void *into);
/* Sets the failure that a component exports no function `name`. It lists the exported functions,
 * with those of the interfaces. */
void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name);
/* Returns true if all imports of a module are defined. Returns false with a failure that lists
 * the missing ones. */
bool module_imports_defined(const wasmtime_linker *linker, wasmtime_context *context,
                            const wasmtime_module *module);
/* Returns true if a component imports only WASI. Returns false with a failure that lists the
 * other imports. */
bool component_imports_defined(const wasmtime_component *component, const wasm_engine *engine);

#endif
