/* WASI commands: programs that are functions from standard input and arguments to standard
 * output. */
#ifndef UDFVM_WASM_COMMAND_H
#define UDFVM_WASM_COMMAND_H

#include "wasm/module.h"

#define COMMAND_EXPORT "_start"

/* Prepares a compiled module, and takes it and its settings over. Returns false with a failure. */
bool command_prepare(struct program *program, const struct load *load, wasmtime_module *module,
                     const struct settings *settings, struct signature *found);

#endif
