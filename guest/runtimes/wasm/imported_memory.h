/* Modules that import their memory: Emscripten's -sIMPORTED_MEMORY, --import-memory of linkers. */
#ifndef UDFVM_WASM_IMPORTED_MEMORY_H
#define UDFVM_WASM_IMPORTED_MEMORY_H

#include <stdbool.h>

#include "shared/compiled/bytes.h"

/* WASI, host functions and text look for an export `memory`. Makes a copy of a module that imports
 * a memory, and exports nothing of that name, with such an export. Returns false for any other
 * module, and for bytes that are none. */
bool imported_memory_export(const uint8_t *module, size_t length, struct bytes *made);

#endif
