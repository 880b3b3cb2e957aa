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

/* Once, before the others: makes the engine. */
void engine_prepare(void);
/* The one that all modules are compiled with. */
const wasm_engine *engine_used(void);
/* Compile binary or text. NULL with a failure. */
wasmtime_module *module_compile(const uint8_t *code, size_t length);
wasmtime_component *component_compile(const uint8_t *code, size_t length);
/* Take what wasmtime made of one that was compiled. NULL with a failure. */
wasmtime_module *module_deserialize(const uint8_t *bytes, size_t length);
wasmtime_component *component_deserialize(const uint8_t *bytes, size_t length);
/* Instantiates a component, with WASI where it imports that. false with a failure. */
bool component_instantiate(const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings, wasmtime_component_instance *instance);
/* Finds what a compiled module imports. NULL with a failure. */
wasmtime_instance_pre *module_link(const wasmtime_module *module);
/* A store for instances, without anything in it. */
wasmtime_store *module_store(void);
/* Instantiates a compiled module, which it takes over. false with a failure. */
bool module_open(struct wasm_module *module, wasmtime_module *compiled,
                 const struct settings *settings);
void module_close(struct wasm_module *module);
/* An export of the instance, of a kind. false: there is none. */
bool module_export(const struct wasm_module *module, const char *name,
                   enum wasmtime_extern_kind kind, wasmtime_extern *found);

#endif
