/* Lists and structs of host functions in core modules, which have them as JSON text, and uint64,
 * which they have as i64. */
#ifndef UDFVM_WASM_HOST_NESTED_H
#define UDFVM_WASM_HOST_NESTED_H

#include "shared/compiled/host_offer.h"
#include "shared/compiled/host_value.h"

/* Returns true for a slot of uint64. */
bool host_slot_is_natural(const struct host_slot *slot);
/* Returns true for a slot of text or bytes, or of what is text in a module. */
bool host_slot_has_bytes(const struct host_slot *slot);
/* Makes the value that a host function gets of what a module passes: text or a number. `made` is
 * its memory. Returns a message if that fails. */
const char *host_nested_take(const struct host_slot *slot, struct bytes *made,
                             struct host_value *value);
/* Makes text or a number of the value that a host function returned; text is valid until the next.
 * Returns a message if that fails. */
const char *host_nested_make(const struct host_slot *slot, struct host_value *value);

#endif
