/* UTF-8. */
#ifndef UDFVM_COMPILED_UTF8_H
#define UDFVM_COMPILED_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the character at `bytes`, of which there are `left`, at least one; 0: it is none. */
size_t utf8_sequence(const char *bytes, size_t left);
/* Whether bytes are well-formed UTF-8 (Unicode standard, table 3-7). */
bool utf8_is_valid(const char *bytes, size_t length);

#endif
