/* What a module or component exports and imports, by name, for errors about what is not there. */
#ifndef UDFVM_WASM_INTERFACE_H
#define UDFVM_WASM_INTERFACE_H

#include <stdbool.h>

#include "wasmtime.h"

/* The failure that a module exports no function `name`: lists those that it does. */
void module_fail_no_export(const wasmtime_module *module, const char *name);
/* The same of a component, with the functions of its interfaces. */
void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name);
/* Whether a module exports a function `name`; false with that failure. */
bool module_has_export(const wasmtime_module *module, const char *name);
/* Whether all that a module imports is defined; false with a failure that lists what is not. */
bool module_imports_defined(const wasmtime_linker *linker, wasmtime_context *context,
                            const wasmtime_module *module);
/* Whether a component imports nothing but WASI; false with a failure that lists the others. */
bool component_imports_defined(const wasmtime_component *component, const wasm_engine *engine);

#endif
