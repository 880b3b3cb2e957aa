/* Memory and text, as in the C library, and a small snprintf(). */
#ifndef UDFVM_STRING_H
#define UDFVM_STRING_H

#include "kernel.h"

#include <stdarg.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *left, const void *right, size_t length);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t length);
/* Formats like snprintf(): %s %c %d %u %x %%, with the modifiers l, ll and z, a width and a
 * leading 0. Returns the length written, without the NUL, which is at most size - 1. */
size_t format(char *buffer, size_t size, const char *pattern, ...)
    __attribute__((format(printf, 3, 4)));

#endif
