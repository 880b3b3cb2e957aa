/* UTF-8. */
#ifndef UDFVM_COMPILED_UTF8_H
#define UDFVM_COMPILED_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX_SEQUENCE 4

/* Length of the character at `bytes`, of which there are `left`, at least one; 0: it is none. */
size_t utf8_sequence(const char *bytes, size_t left);
/* Whether bytes are well-formed UTF-8 (Unicode standard, table 3-7). */
bool utf8_is_valid(const char *bytes, size_t length);
/* Writes a character; returns its length. */
size_t utf8_encode(uint32_t point, char to[UTF8_MAX_SEQUENCE]);
/* The character of a sequence, which utf8_sequence() found. */
uint32_t utf8_decode(const char *bytes, size_t length);

#endif
