/* Calls of host functions with values: see shared/host_call.h. */
#ifndef UDFVM_COMPILED_HOST_VALUE_H
#define UDFVM_COMPILED_HOST_VALUE_H

#include <stddef.h>
#include <stdint.h>

struct host_value {
    uint32_t type; /* UDFVM_TYPE_x */
    union {
        int64_t integer; /* of INT64 and BOOL */
        double real;     /* of FLOAT64 */
    };
    const char *bytes; /* of TEXT, BLOB and ARROW */
    size_t length;
};

/* Calls a host function. The result's bytes are valid until the next call. Returns NULL, or a
 * message why the host function cannot be called. */
const char *host_value_call(const char *name, const struct host_value *arguments, size_t count,
                            struct host_value *result);

#endif
