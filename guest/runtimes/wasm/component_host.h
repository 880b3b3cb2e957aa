/* Host functions as imports of components: functions of the world, and of its interfaces. */
#ifndef UDFVM_WASM_COMPONENT_HOST_H
#define UDFVM_WASM_COMPONENT_HOST_H

#include "wasm/link_settings.h"

/* Returns true if an import is of WASI 0.2, as the runtime has it. */
bool component_import_is_wasi(const char *name, size_t length);
/* Defines all imports that are not WASI's. A function is the host function of its name, with
 * underscores where WIT has hyphens. Returns false with a failure, which lists the imports that
 * nothing provides. */
bool component_host_define(wasmtime_component_linker *linker, const wasm_engine *engine,
                           const wasmtime_component *component,
                           const struct link_settings *settings);

#endif
