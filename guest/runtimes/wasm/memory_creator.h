/* The memories of modules and components. */
#ifndef UDFVM_WASM_MEMORY_CREATOR_H
#define UDFVM_WASM_MEMORY_CREATOR_H

#include "wasm/wasmtime.h"

/* Makes an engine create its memories here. wasmtime itself would copy a memory each time that it
 * grows, unless it reserved addresses for it, also before the seal, where addresses are memory. */
void memory_creator_set(wasm_config *config);

#endif
