/* Modules and components without the bodies of their functions, and without data. They have the
 * types, imports and exports that they had, and take no time to compile. */
#ifndef UDFVM_WASM_EMPTIED_CODE_H
#define UDFVM_WASM_EMPTIED_CODE_H

#include <stdbool.h>

#include "shared/compiled/bytes.h"

/* Appends what is left of code in the binary format. Returns false if it is not in that format:
 * what was appended is of no use then. What is malformed within sections that are kept stays so. */
bool emptied_code(const uint8_t *code, size_t length, struct bytes *to);

#endif
