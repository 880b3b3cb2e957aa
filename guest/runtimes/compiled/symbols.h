/* Names for code addresses. */
#ifndef UDFVM_COMPILED_SYMBOLS_H
#define UDFVM_COMPILED_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/* Writes "function+0x12 (object)", as much as is known, to `text`. Reads the object's file for functions that it does not export. */
void symbol_describe(uint64_t address, char *text, size_t size);

#endif
