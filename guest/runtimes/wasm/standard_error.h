/* The end of what a module wrote to its standard error in a call: what panics in it, and aborts,
 * says there why before it traps. */
#ifndef UDFVM_WASM_STANDARD_ERROR_H
#define UDFVM_WASM_STANDARD_ERROR_H

#include <stddef.h>

/* A call begins: what was written before is forgotten. */
void standard_error_begin(void);
void standard_error_append(const unsigned char *bytes, size_t length);
/* Adds it to the failure's traceback, in valid UTF-8, after `separator`; nothing where nothing was
 * written. */
void standard_error_trace(const char *separator);

#endif
