/* Table functions of components: functions that return a list, of which each item is a row. */
#ifndef UDFVM_WASM_COMPONENT_TABLE_H
#define UDFVM_WASM_COMPONENT_TABLE_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

/* Loads the function, and takes over the component. Returns false with a failure. */
bool component_table_prepare(struct program *program, const char *name,
                             wasmtime_component *compiled, const struct settings *settings,
                             struct signature *found);

#endif
