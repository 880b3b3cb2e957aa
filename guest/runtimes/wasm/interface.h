/* What a module or component exports and imports, by name, for errors about what is not there. */
#ifndef UDFVM_WASM_INTERFACE_H
#define UDFVM_WASM_INTERFACE_H

#include <stdbool.h>

#include "wasm/wasmtime.h"

/* Looks at the type of an exported function; false with a failure, where it is none that will do.
 */
typedef bool export_taker(const wasm_functype *type, const char *name, void *into);
/* Whether a module exports a function `name`, whose type `take` takes, if it is not NULL. false
 * with its failure, or one that lists what functions the module does export. */
bool module_function(const wasmtime_module *module, const char *name, export_taker *take,
                     void *into);
/* The failure that a component exports no function `name`: lists those that it does, with those of
 * its interfaces. */
void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name);
/* Whether all that a module imports is defined; false with a failure that lists what is not. */
bool module_imports_defined(const wasmtime_linker *linker, wasmtime_context *context,
                            const wasmtime_module *module);
/* Whether a component imports nothing but WASI; false with a failure that lists the others. */
bool component_imports_defined(const wasmtime_component *component, const wasm_engine *engine);

#endif
