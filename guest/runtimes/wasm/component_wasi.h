/* WASI preview 2 for components. */
#ifndef UDFVM_WASM_COMPONENT_WASI_H
#define UDFVM_WASM_COMPONENT_WASI_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

/* Defines what the component imports of WASI, and gives the store arguments, environment and files,
 * if it imports any. false with a failure. */
bool component_wasi_define(wasmtime_component_linker *linker, const wasm_engine *engine,
                           const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings);

#endif
