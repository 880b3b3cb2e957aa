/* The end of what a module wrote to its standard error in a call. A module that panics writes
 * the reason there before it traps. */
#ifndef UDFVM_WASM_STANDARD_ERROR_H
#define UDFVM_WASM_STANDARD_ERROR_H

#include <stddef.h>

/* Begins a call: discards what was written before. */
void standard_error_begin(void);
void standard_error_append(const unsigned char *bytes, size_t length);
/* Appends it to the failure's traceback as valid UTF-8, after `separator`. Appends nothing if
 * nothing was written. */
void standard_error_trace(const char *separator);

#endif
