/* Characters as UTF-8, and back. */
#ifndef UDFVM_COMPILED_CHARACTERS_H
#define UDFVM_COMPILED_CHARACTERS_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX_SEQUENCE 4

/* Writes a character; returns its length. */
size_t utf8_encode(uint32_t point, char to[UTF8_MAX_SEQUENCE]);
/* The character of a sequence, which utf8_sequence() of utf8.h found. */
uint32_t utf8_decode(const char *bytes, size_t length);

#endif
