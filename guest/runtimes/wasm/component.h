/* Components (WebAssembly component model): exported functions with the types of WIT. */
#ifndef UDFVM_WASM_COMPONENT_H
#define UDFVM_WASM_COMPONENT_H

#include "settings.h"

/* Whether the code, binary or text, is a component. */
bool component_is(const uint8_t *code, size_t length);
/* Compiles and instantiates it, and prepares the function `load->name`: "function", or "interface#function". false with a failure. */
bool component_prepare(struct program *program, const struct load *load, const struct settings *settings, struct signature *found);

#endif
