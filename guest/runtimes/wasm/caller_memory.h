/* The memory of the module that calls a function of the runtime. */
#ifndef UDFVM_WASM_CALLER_MEMORY_H
#define UDFVM_WASM_CALLER_MEMORY_H

#include "wasm/text_format.h"
#include "wasm/wasmtime.h"

/* Finds the export "memory". Returns false if there is none. */
bool caller_memory_find(wasmtime_caller *caller, wasmtime_memory *memory);
/* Returns its bytes; none if there is no such export. */
struct linear caller_memory(wasmtime_caller *caller);

#endif
