/* A compiled and instantiated module. */
#ifndef UDFVM_WASM_MODULE_H
#define UDFVM_WASM_MODULE_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

struct wasm_module {
    wasmtime_module *module;
    wasmtime_store *store;
    wasmtime_context *context;
    wasmtime_instance instance;
};

/* Creates the engine. Call it once, before the other functions. */
void engine_prepare(void);
/* Returns the engine that compiles all modules. */
const wasm_engine *engine_used(void);
/* Compiles binary or text. Returns NULL with a failure. */
wasmtime_module *module_compile(const uint8_t *code, size_t length);
wasmtime_component *component_compile(const uint8_t *code, size_t length);
/* Loads a module that wasmtime has compiled and serialised. Returns NULL with a failure. */
wasmtime_module *module_deserialize(const uint8_t *bytes, size_t length);
wasmtime_component *component_deserialize(const uint8_t *bytes, size_t length);
/* Instantiates a component, with WASI if it imports that. Returns false with a failure. */
bool component_instantiate(const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings, wasmtime_component_instance *instance);
/* Resolves the imports of a compiled module without linked modules, for any store. Returns NULL
 * with a failure. */
wasmtime_instance_pre *module_link(const wasmtime_module *module, const struct settings *settings);
/* Resolves the imports of a compiled module, and instantiates it. Returns false with a failure. */
bool module_instantiate(const wasmtime_module *module, wasmtime_context *context,
                        const struct settings *settings, wasmtime_instance *instance);
/* Creates an empty store for instances. */
wasmtime_store *module_store(void);
/* Instantiates a compiled module, and takes it over. Returns false with a failure. */
bool module_open(struct wasm_module *module, wasmtime_module *compiled,
                 const struct settings *settings);
/* Instantiates it anew, in another store. Returns false with a failure. */
bool module_reopen(struct wasm_module *module, const struct settings *settings);
void module_close(struct wasm_module *module);
/* Finds an export of a kind. Returns false if there is none. */
bool module_export(const struct wasm_module *module, const char *name,
                   enum wasmtime_extern_kind kind, wasmtime_extern *found);

#endif
