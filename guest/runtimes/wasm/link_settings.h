/* The host's settings for the imports of a module: what else than WASI is linked with it. */
#ifndef UDFVM_WASM_LINK_SETTINGS_H
#define UDFVM_WASM_LINK_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/compiled/host_offer.h"
#include "wasm/wasmtime.h"

/* Another module, whose exports the module may import under its name. */
struct linked_module {
    char *name;
    const uint8_t *code; /* it lies in the request */
    size_t length;
    wasmtime_module *compiled; /* once link_settings_compile() was called */
};

struct emitter;

struct link_settings {
    size_t host_function_count, module_count;
    struct host_function *host_functions;
    struct linked_module *modules;
    struct emitter *emitter; /* who takes rows: see emitter.h */
    bool traps;              /* functions that nothing provides trap when they are called */
};

/* Takes a setting of two parts, whose kind is
 * - 'h': a host function: its name; its description, as host_function_take() reads it;
 * - 'm': a linked module: its name; its code;
 * - 't': empty: functions that nothing provides trap.
 * Returns false if it is none of these. */
bool link_settings_take(struct link_settings *settings, uint8_t kind, const uint8_t *first,
                        size_t first_length, const uint8_t *second, size_t second_length);
/* Compiles the linked modules. Returns false with a failure. */
bool link_settings_compile(struct link_settings *settings);
void link_settings_free(struct link_settings *settings);
/* Returns the host function of that name; NULL if there is none. The names of WIT have hyphens,
 * and those of AssemblyScript dots, where those of the host have underscores. wasm-bindgen puts
 * more around a name. */
const struct host_function *link_settings_find(const struct link_settings *settings,
                                               const char *name, size_t length);

#endif
