/* Values of the component model that have no Arrow type, as JSON (RFC 8259). */
#ifndef UDFVM_WASM_COMPONENT_JSON_H
#define UDFVM_WASM_COMPONENT_JSON_H

#include "shared/compiled/bytes.h"
#include "wasm/wasmtime.h"

/* Appends a value. A record is an object. A list, a tuple and flags are arrays. A variant is
 * {"case": value}, or "case" if it has no value. A result is {"ok": value} or {"err": value}. */
void component_json(const wasmtime_component_val *value, struct bytes *to);

#endif
