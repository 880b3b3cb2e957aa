/* Imports that compilers add to every module, and that mean the same wherever it runs. */
#ifndef UDFVM_WASM_KNOWN_IMPORT_H
#define UDFVM_WASM_KNOWN_IMPORT_H

#include "wasm/host_function.h"

/* Defines an import if it is one of AssemblyScript's (script_import.h, and its clocks),
 * Emscripten's (emscripten_import.h) or wasm-bindgen's (bindgen_import.h) with their type.
 * *defined is true if it is. Returns false with a failure. */
bool known_import_define(wasmtime_linker *linker, const struct import_name *import,
                         const wasm_functype *type, bool *defined);

/* Returns true if an import is one of these. */
bool known_import_is(const struct import_name *import, const wasm_functype *type);

#endif
