/* WASI preview 2 for components. */
#ifndef UDFVM_WASM_COMPONENT_WASI_H
#define UDFVM_WASM_COMPONENT_WASI_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

/* Defines the component's imports of WASI. If it has any, gives the store arguments, environment
 * and files. Returns false with a failure. */
bool component_wasi_define(wasmtime_component_linker *linker, const wasm_engine *engine,
                           const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings);

#endif
