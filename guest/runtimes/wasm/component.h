/* Components (WebAssembly component model): exported functions with the types of WIT. */
#ifndef UDFVM_WASM_COMPONENT_H
#define UDFVM_WASM_COMPONENT_H

#include "wasm/module.h"

/* Returns true if the code, binary or text, is a component. */
bool component_is(const uint8_t *code, size_t length);
/* Instantiates a compiled component, takes it over, and prepares the function of that name:
 * "function" or "interface#function". Returns false with a failure. */
bool component_prepare(struct program *program, const char *name, wasmtime_component *compiled,
                       const struct settings *settings, struct signature *found);

/* Reads the signature of a function. Returns false with a failure if it cannot be a UDF. */
bool component_signature(const wasmtime_component_functype *type, struct signature *found);

#endif
