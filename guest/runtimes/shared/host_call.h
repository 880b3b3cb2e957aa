/* Calls of host functions: UDFVM_HYPERCALL_HOST_CALL. */
#ifndef UDFVM_SHARED_HOST_CALL_H
#define UDFVM_SHARED_HOST_CALL_H

#include <stdint.h>

#define MAX_HOST_REPLY (256u << 10) /* bytes; less than what the allocator takes from scratch */

/* Arguments: struct udfvm_row and its values. Returns the reply's length, at most MAX_HOST_REPLY,
 * or a negative errno. */
int64_t host_call(const char *name, uint64_t name_length, const void *arguments, uint64_t length,
                  void *reply);
/* The same with room for a reply of so many bytes: a longer one is -EMSGSIZE. */
int64_t host_call_into(const char *name, uint64_t name_length, const void *arguments,
                       uint64_t length, void *reply, uint64_t capacity);

/* Returns the message for a negative result of host_call(). */
const char *host_call_error(int64_t result);

#endif
