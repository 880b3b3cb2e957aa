/* A call of an exported function with values of columns: numbers, text and bytes in the module's
 * memory, v128, several results or none. */
#ifndef UDFVM_WASM_EXPORT_CALL_H
#define UDFVM_WASM_EXPORT_CALL_H

#include "shared/compiled/builder.h"
#include "wasm/export_type.h"

/* An exported function, and how it has the types of a signature. A function that takes the state of
 * an aggregate takes it before its parameters, and may return a state instead of a result: `type`
 * is without these. */
struct exported {
    struct signature signature;
    struct export_type type;
    struct export_plan plan;
    struct module_memory memory;
    wasmtime_func function;
    size_t result_count; /* with a state, and these too: */
    enum wasm_kind result_kinds[MAX_EXPORT_VALUES];
    struct bytes made; /* memory for a result that is converted */
};

#define MAX_STATES 2
/* States of an aggregate that a function takes: none, one, or two to be merged. */
struct states {
    size_t count;
    const wasmtime_val *values[MAX_STATES];
};
extern const struct states no_states;

struct lent { /* memory of the module for an argument */
    uint32_t address;
    size_t length;
};

/* A call of one row. */
struct export_call {
    wasmtime_val arguments[MAX_EXPORT_VALUES], results[MAX_EXPORT_VALUES];
    size_t count, lent_count;
    struct lent lent[MAX_EXPORT_VALUES];
    uint32_t stored; /* address of the result's address and length */
};

/* Calls the function with states and a row of columns. Returns false with a failure. */
bool export_call_run(const struct exported *function, struct export_call *call,
                     const struct states *states, const struct column *columns, int64_t row);
/* Takes the result, which is no struct, as a value of the storage; or appends it. Return false with
 * a failure. */
bool export_call_take(struct exported *function, const struct export_call *call,
                      enum storage storage, struct scalar *scalar);
bool export_call_append(struct exported *function, const struct export_call *call,
                        struct builder *builder);
/* Frees the memory that the call has in the module, after the result was taken. Returns false with
 * a failure. */
bool export_call_end(const struct exported *function, const struct export_call *call);

#endif
