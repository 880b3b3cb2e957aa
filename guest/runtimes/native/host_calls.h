/* Host functions, as native functions call them. */
#ifndef UDFVM_NATIVE_HOST_CALLS_H
#define UDFVM_NATIVE_HOST_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "native/udfvm.h"

/* Takes the descriptions of those that take or return lists and structs: of each the lengths of its
 * name and description, 32 bits each, and both, as host_function_take() reads them. Returns false
 * if they are malformed. */
bool host_calls_describe(const uint8_t *at, size_t length);
/* Calls a host function. *result says what is wanted: see struct udfvm_any. What it points to is
 * memory of services_allocate(). Returns NULL, or a message why that cannot be. */
const char *host_calls_call(const char *name, const struct udfvm_any *arguments, size_t count,
                            struct udfvm_any *result);

#endif
