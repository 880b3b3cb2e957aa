/* What a core module may import: WASI, linked modules, host functions, and what compilers add. */
#ifndef UDFVM_WASM_IMPORTS_H
#define UDFVM_WASM_IMPORTS_H

#include "wasm/link_settings.h"

/* Makes a linker with all imports of a module. It instantiates the linked modules in the store of
 * the context. Returns NULL with a failure, which lists the imports that nothing provides. */
wasmtime_linker *imports_link(wasmtime_context *context, const wasmtime_module *module,
                              const struct link_settings *settings);
/* Returns true if the module, or one that is linked with it, imports WASI. */
bool imports_wasi(const wasmtime_module *module, const struct link_settings *settings);

/* Returns true if the module imports a memory, which belongs to a store. */
bool imports_memory(const wasmtime_module *module);

#endif
