/* Values of the component model, to and from columns. */
#ifndef UDFVM_WASM_COMPONENT_VALUE_H
#define UDFVM_WASM_COMPONENT_VALUE_H

#include <stdio.h>

#include "program.h"
#include "wasmtime.h"

/* How a type of WIT is stored. */
struct component_kind {
    enum storage storage;
    uint8_t value;                               /* enum wasmtime_component_value of a simple type, or COMPONENT_LIST for list<u8> */
    bool optional;                               /* option<...>: null is none */
    bool fallible;                               /* result<...>: an err is the row's error. Of results only */
    bool json;                                   /* of another type, as JSON text. Of results only */
};

/* A parameter's type, or a result's. false: it does not cross. */
bool component_kind_take(const wasmtime_component_valtype *type, bool result, struct component_kind *kind);
/* An argument; to be deleted. */
void component_value_make(const struct component_kind *kind, const struct column *column, int64_t row, wasmtime_component_val *value);
/* Puts a result into the block. false with a failure: an err, or too many bytes. */
bool component_value_put(const struct component_kind *kind, const wasmtime_component_val *value, struct block *block, int64_t row);

#endif
