/* Converts values of the component model to and from columns. */
#ifndef UDFVM_WASM_COMPONENT_VALUE_H
#define UDFVM_WASM_COMPONENT_VALUE_H

#include "shared/compiled/builder.h"
#include "wasm/component_type.h"

/* Makes an argument, which the caller deletes in either case. Returns false with a failure for a
 * null in a type that is no option, or a text that is no character. */
bool component_value_make(const struct component_type *type, const struct column *column,
                          int64_t row, wasmtime_component_val *value);

/* Puts a result into a block, or appends a struct or list to a builder. `made` is memory for
 * values that are converted. Returns false with a failure if there are too many bytes. */
bool component_value_put(const struct component_type *type, const wasmtime_component_val *value,
                         struct bytes *made, struct block *block, int64_t row);
bool component_value_append(const struct component_type *type, const wasmtime_component_val *value,
                            struct bytes *made, struct builder *builder);

/* Returns a value that is no struct or list. `made` is memory for values that are converted. */
struct scalar component_value_scalar(const struct component_type *type,
                                     const wasmtime_component_val *value, struct bytes *made);
/* Make what a host function returns to a component, inside of what options and result the type
 * has: a value that is no struct or list; any value of a row. Return false if it is out of range,
 * or with a failure if it is no character, or has a null where the type takes none. */
bool component_value_return(const struct component_type *type, const struct scalar *scalar,
                            wasmtime_component_val *value);
bool component_value_return_row(const struct component_type *type, const struct column *column,
                                int64_t row, wasmtime_component_val *value);

#endif
