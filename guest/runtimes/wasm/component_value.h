/* Values of the component model, to and from columns. */
#ifndef UDFVM_WASM_COMPONENT_VALUE_H
#define UDFVM_WASM_COMPONENT_VALUE_H

#include "shared/compiled/builder.h"
#include "wasm/component_type.h"

/* An argument, to be deleted in any case. false with a failure: it has a null where the type has no
 * option, or text that is no character. */
bool component_value_make(const struct component_kind *kind, const struct column *column,
                          int64_t row, wasmtime_component_val *value);

/* The value in a whole result. NULL with a failure: an err. */
const wasmtime_component_val *component_value_ok(const struct component_kind *kind,
                                                 const wasmtime_component_val *value);
/* Puts a result into a block, or appends one that is a struct or list to a builder. `made` is
 * memory for what is not stored as it comes. false with a failure: too many bytes. */
bool component_value_put(const struct component_kind *kind, const wasmtime_component_val *value,
                         struct bytes *made, struct block *block, int64_t row);
bool component_value_append(const struct component_kind *kind, const wasmtime_component_val *value,
                            struct bytes *made, struct builder *builder);

#endif
