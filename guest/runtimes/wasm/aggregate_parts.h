/* The functions that an aggregate of a module consists of: see module_aggregate.h. */
#ifndef UDFVM_WASM_AGGREGATE_PARTS_H
#define UDFVM_WASM_AGGREGATE_PARTS_H

#include "wasm/export_call.h"

struct part {
    bool found;
    bool returns_state;
    struct exported exported; /* without the states that it takes and returns */
};

struct aggregate_parts {
    enum wasm_kind state;
    struct part init, step, finish, inverse, merge, save, load, free;
};

/* Returns true if a module has no export of that name, but one of the three functions that such an
 * aggregate must have. */
bool aggregate_parts_are(const wasmtime_module *module, const char *name);
/* Finds the parts in a module, and checks their states. Returns false with a failure. */
bool aggregate_parts_find(struct aggregate_parts *parts, const wasmtime_module *module,
                          const char *name);
/* Makes the signature of an aggregate that is not declared. */
void aggregate_parts_describe(const struct aggregate_parts *parts, struct signature *signature);
/* Finds the functions of the parts in an instance. Returns false with a failure. */
bool aggregate_parts_bind(struct aggregate_parts *parts, const struct wasm_module *module,
                          const char *name);
/* Finds out how the parts have the types of a signature. Returns false with a failure. */
bool aggregate_parts_plan(struct aggregate_parts *parts, const char *name,
                          const struct signature *signature);

#endif
