/* Exports and imports of modules and components by name, and the errors about missing ones. */
#ifndef UDFVM_WASM_INTERFACE_H
#define UDFVM_WASM_INTERFACE_H

#include <stdbool.h>

#include "shared/compiled/bytes.h"
#include "wasm/wasmtime.h"

/* Checks the type of an exported function. Returns false with a failure if the function cannot
 * be used. */
typedef bool export_taker(const wasm_functype *type, const char *name, void *into);
/* Returns true if a module exports a function `name`, and `take`, if it is not NULL, accepts its
 * type. Otherwise returns false with a failure: that of `take`, or one that lists the functions
 * that the module exports. */
bool module_function(const wasmtime_module *module, const char *name, export_taker *take,
                     void *into);
/* Calls `visit` for each function that a component exports or imports, in the world (interface "")
 * and in its interfaces. */
typedef void component_visitor(void *context, const wasm_bytes *interface, const wasm_bytes *name,
                               const wasmtime_component_functype *type);
void component_each_export(const wasmtime_component *component, const wasm_engine *engine,
                           component_visitor *visit, void *context);
void component_each_import(const wasmtime_component *component, const wasm_engine *engine,
                           component_visitor *visit, void *context);
/* Sets the failure that a component exports no function `name`. It lists the exported functions,
 * with those of the interfaces. */
void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name);
/* Appends "interface", separator and name to a list of imports that nothing provides. */
void interface_list(struct bytes *list, const wasm_bytes *interface, const char *separator,
                    const wasm_bytes *name);
/* Returns the name of a kind of imports, such as "memory". */
const char *interface_kind(uint8_t kind);
/* Returns true if the list is empty. Otherwise it frees the list, and returns false with a failure
 * that has it. `what` imports them, such as "the module". With `traps`, functions that nothing
 * provides are not in the list. */
bool interface_complete(const char *what, bool component, bool traps, struct bytes *list);

#endif
