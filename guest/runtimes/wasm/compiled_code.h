/* Modules and components as wasmtime serialises them after compiling, which takes seconds for
 * megabytes of code.
 *
 * Whoever made such code, it runs in a micro-VM of its own, as the module does.
 */
#ifndef UDFVM_WASM_COMPILED_CODE_H
#define UDFVM_WASM_COMPILED_CODE_H

#include "wasm/module.h"

/* A module or a component. */
struct compiled_code {
    wasmtime_module *module;
    wasmtime_component *component;
};

/* Compiles what a load brings, or takes what runtime_compile() made of it. false with a failure. */
bool code_take(const struct load *load, bool compiled, struct compiled_code *code);

#endif
