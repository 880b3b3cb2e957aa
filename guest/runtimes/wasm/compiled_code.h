/* Modules and components as wasmtime keeps them once they are compiled, which takes seconds for
 * code of megabytes.
 *
 * Whoever made such code, it runs in a micro-VM of its own, as all that it could be made of. */
#ifndef UDFVM_WASM_COMPILED_CODE_H
#define UDFVM_WASM_COMPILED_CODE_H

#include "wasm/module.h"

/* A module or a component. */
struct code {
    wasmtime_module *module;
    wasmtime_component *component;
};

/* Compiles what a load brings, or takes what runtime_compile() made of it. false with a failure. */
bool code_take(const struct load *load, bool compiled, struct code *code);

#endif
