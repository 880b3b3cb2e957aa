/* See host_value.h. */
#include "shared/compiled/host_value.h"

#include <stdbool.h>
#include <string.h>

#include "shared/compiled/bytes.h"
#include "shared/host_call.h"
#include "udfvm_abi.h"

static bool has_bytes(uint32_t type)
{
    return type == UDFVM_TYPE_TEXT || type == UDFVM_TYPE_BLOB || type == UDFVM_TYPE_ARROW;
}

/* Writes a struct udfvm_row. */
static void put_row(struct bytes *row, const struct host_value *arguments, size_t count)
{
    const struct udfvm_row head = { .count = (uint32_t)count };
    uint64_t end = sizeof head + count * sizeof(struct udfvm_value);
    row->length = 0;
    bytes_put(row, &head, sizeof head);
    for (size_t i = 0; i < count; i++) {
        struct udfvm_value value = { .type = arguments[i].type, .integer = arguments[i].integer };
        if (has_bytes(value.type)) {
            value.offset = end;
            value.length = (uint32_t)arguments[i].length;
            end += arguments[i].length;
        }
        bytes_put(row, &value, sizeof value);
    }
    for (size_t i = 0; i < count; i++)
        if (has_bytes(arguments[i].type))
            bytes_put(row, arguments[i].bytes, arguments[i].length);
}

const char *host_value_call(const char *name, const struct host_value *arguments, size_t count,
                            struct host_value *result)
{
    static struct bytes row;
    static _Alignas(struct udfvm_value) uint8_t reply[MAX_HOST_REPLY];
    struct udfvm_value value;
    put_row(&row, arguments, count);
    const int64_t got = host_call(name, strlen(name), row.at, row.length, reply);
    if (got < 0)
        return host_call_error(got);
    memcpy(&value, reply, sizeof value);
    *result = (struct host_value){ .type = value.type, .integer = value.integer };
    if (has_bytes(value.type)) {
        result->bytes = (const char *)reply + value.offset;
        result->length = value.length;
    }
    return NULL;
}
