/* The functions that an aggregate of a component consists of: see component_aggregate.h. */
#ifndef UDFVM_WASM_COMPONENT_PARTS_H
#define UDFVM_WASM_COMPONENT_PARTS_H

#include "wasm/component_function.h"

enum component_part_name {
    PART_INIT, /* the first three must exist */
    PART_STEP,
    PART_FINISH,
    PART_INVERSE,
    PART_MERGE,
    PART_SAVE,
    PART_LOAD,
    PART_COUNT
};

struct component_part {
    bool found;
    bool returns_state;
    bool consumes[MAX_COMPONENT_STATES]; /* takes a resource, and not a borrow of it */
    struct component_function function;
};

struct component_parts {
    const char *name;
    bool of_resource;                 /* they are functions of a resource */
    wasmtime_component_valtype state; /* once `init` was found */
    uint8_t number;                   /* enum wasmtime_component_value of a state that is one */
    struct component_part parts[PART_COUNT];
    struct signature signature;
};

/* Returns true if a component has no export of that name, but one of the three functions that such
 * an aggregate must have. */
bool component_parts_are(const wasmtime_component *component, const char *name);
/* Finds the parts and their types. Call component_parts_clear() in either case. Returns false with
 * a failure. */
bool component_parts_find(struct component_parts *parts, const wasmtime_component *component,
                          const char *name);
/* Finds the functions of the parts in an instance. Returns false with a failure. */
bool component_parts_bind(struct component_parts *parts,
                          const wasmtime_component_instance *instance, wasmtime_context *context);
void component_parts_clear(struct component_parts *parts);
/* Returns true for states that are resources. */
bool component_parts_own(const struct component_parts *parts);

#endif
