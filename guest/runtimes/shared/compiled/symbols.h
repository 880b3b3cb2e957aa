/* Names for code addresses, and addresses for names. */
#ifndef UDFVM_COMPILED_SYMBOLS_H
#define UDFVM_COMPILED_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes "function+0x12 (object)", as much as is known, to `text`. Reads the object's file for
 * functions that it does not export. After objects_read(). */
void symbol_describe(uint64_t address, char *text, size_t size);
/* Finds the function of that name in a file: an exported one, or else the only local one. *value
 * is its address as linked. */
bool symbol_find(const char *path, const char *name, uint64_t *value);

/* Returns the index of the first of some names that a file defines or needs; `count` if it has
 * none. What it only uses if it is there (a weak reference) does not count. */
size_t symbol_first_of(const char *path, const char *const *names, size_t count);

/* Calls `visit` for each symbol that an object's file exports: functions, and data. */
typedef void symbol_visitor(void *context, const char *name, bool function);
void symbols_exported(const char *path, symbol_visitor *visit, void *context);

#endif
