/* The end of what a module wrote to its standard error in a call. A module that panics writes
 * the reason there before it traps. */
#ifndef UDFVM_WASM_STANDARD_ERROR_H
#define UDFVM_WASM_STANDARD_ERROR_H

#include <stddef.h>
#include <stdio.h>

#include "shared/compiled/bytes.h"

/* Begins a call: discards what was written before. */
void standard_error_begin(void);
/* Keeps bytes that a module writes there, and writes them to the log. Returns the length, or minus
 * an errno. For wasi_config_set_stderr_custom(). */
ptrdiff_t standard_error_log(void *unused, const unsigned char *bytes, size_t length);
/* Ends a line of a module and writes it to stdout, or to stderr as above. Frees the line. */
void standard_print(FILE *stream, struct bytes *line);
/* Appends it to the failure's traceback as valid UTF-8, after `separator`. Appends nothing if
 * nothing was written. */
void standard_error_trace(const char *separator);

#endif
