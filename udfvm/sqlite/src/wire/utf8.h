/* Checks that bytes are UTF-8 (RFC 3629). */
#ifndef UDFVM_SQLITE_UTF8_H
#define UDFVM_SQLITE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const uint8_t *text, size_t length);

#endif
