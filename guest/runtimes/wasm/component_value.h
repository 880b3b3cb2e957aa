/* Converts values of the component model to and from columns. */
#ifndef UDFVM_WASM_COMPONENT_VALUE_H
#define UDFVM_WASM_COMPONENT_VALUE_H

#include "shared/compiled/builder.h"
#include "wasm/component_type.h"

/* Makes an argument, which the caller deletes in either case. Returns false with a failure for a
 * null in a type that is no option, or a text that is no character. */
bool component_value_make(const struct component_type *type, const struct column *column,
                          int64_t row, wasmtime_component_val *value);

/* Returns the value in a whole result. Returns NULL with a failure if it is an err. */
const wasmtime_component_val *component_value_ok(const struct component_type *type,
                                                 const wasmtime_component_val *value);
/* Puts a result into a block, or appends a struct or list to a builder. `made` is memory for
 * values that are converted. Returns false with a failure if there are too many bytes. */
bool component_value_put(const struct component_type *type, const wasmtime_component_val *value,
                         struct bytes *made, struct block *block, int64_t row);
bool component_value_append(const struct component_type *type, const wasmtime_component_val *value,
                            struct bytes *made, struct builder *builder);

/* Returns a value that is no struct or list. `made` is memory for values that are converted. */
struct scalar component_value_scalar(const struct component_type *type,
                                     const wasmtime_component_val *value, struct bytes *made);
/* Makes what a host function returns to a component: a value that is no struct or list, inside of
 * what options and result the type has. Returns false if it is out of range, or no character. */
bool component_value_return(const struct component_type *type, const struct scalar *scalar,
                            wasmtime_component_val *value);

#endif
