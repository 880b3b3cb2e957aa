/* A function that a component exports, and calls of it with values of columns. */
#ifndef UDFVM_WASM_COMPONENT_FUNCTION_H
#define UDFVM_WASM_COMPONENT_FUNCTION_H

#include "shared/compiled/builder.h"
#include "wasm/component_type.h"

struct component_function {
    wasmtime_component_func function;
    bool has_result;
    size_t count;
    struct component_type result, parameters[MAX_PARAMETERS]; /* without states */
    struct bytes made;                                        /* memory for results */
};

#define MAX_COMPONENT_STATES 2
/* States of an aggregate that a function takes before its parameters: none, one, or two to be
 * merged. */
struct component_states {
    size_t count;
    const wasmtime_component_val *values[MAX_COMPONENT_STATES];
};

/* Finds "function" or "interface#function" in an instance. Returns false if it has none. */
bool component_function_find(const wasmtime_component_instance *instance, wasmtime_context *context,
                             const char *name, wasmtime_component_func *function);
/* Takes the types of the parameters behind so many states, and that of the result, with their
 * slots. Return false with a failure. */
bool component_function_parameters(const wasmtime_component_functype *type, size_t states,
                                   struct component_function *function, struct signature *found);
bool component_function_result(const wasmtime_component_functype *type,
                               struct component_function *function, struct signature *found);
/* Returns the slot of a type, without a name. */
struct slot component_function_slot(const struct component_type *type);
void component_function_clear(struct component_function *function);

/* Calls the function. The caller deletes the result. Returns false with a failure and without a
 * result. */
bool component_function_call(const struct component_function *function, wasmtime_context *context,
                             const struct component_states *states, const struct column *columns,
                             int64_t row, wasmtime_component_val *result);
/* Returns the value in a whole result. Returns NULL with a failure if it is an err. */
const wasmtime_component_val *component_function_ok(const struct component_type *type,
                                                    const wasmtime_component_val *value);
/* Puts a result into a block, or appends it to a builder. Return false with a failure, such as the
 * err of a result. */
bool component_function_put(struct component_function *function,
                            const wasmtime_component_val *result, struct block *block, int64_t row);
bool component_function_append(struct component_function *function,
                               const wasmtime_component_val *result, struct builder *builder);

#endif
