/* Text and bytes in a module's linear memory, in the two forms that compilers to WebAssembly use.
 *
 * Most languages pass an address and a length in bytes; text is UTF-8. AssemblyScript passes the
 * address of an object: text is UTF-16, and its length in bytes is in the object's head, before the
 * address (www.assemblyscript.org/runtime.html). */
#ifndef UDFVM_WASM_TEXT_FORMAT_H
#define UDFVM_WASM_TEXT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/compiled/bytes.h"

#define SCRIPT_BUFFER 1 /* AssemblyScript's number of the class ArrayBuffer */
#define SCRIPT_TEXT   2 /* and of String */

/* A module's memory, until a function of the module runs. */
struct linear {
    uint8_t *bytes;
    size_t size;
};

/* Returns the address of a range; NULL if it is not in the memory. */
static inline uint8_t *linear_at(const struct linear *linear, uint64_t address, uint64_t length)
{
    return address <= linear->size && length <= linear->size - address ? linear->bytes + address
                                                                       : NULL;
}

/* Reads AssemblyScript's object at an address: *length bytes at the result. Returns NULL if it is
 * not in the memory. */
const uint8_t *script_object(const struct linear *linear, uint32_t address, uint32_t *length);
/* Returns true if it has a class: SCRIPT_BUFFER or SCRIPT_TEXT. Arrays such as Uint8Array have
 * others, and do not begin with their bytes. */
bool script_is(const struct linear *linear, uint32_t address, uint32_t class);
/* Appends UTF-16 as UTF-8. Halves of surrogate pairs become U+FFFD. */
void utf16_to_utf8(const uint8_t *text, size_t length, struct bytes *to);
/* Appends valid UTF-8 as UTF-16. */
void utf8_to_utf16(const char *text, size_t length, struct bytes *to);

#endif
