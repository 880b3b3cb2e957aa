/* Keys of the rows of a batch of vm_map: see map_keys.h. */
#include "functions/map_keys.h"

#include <stdlib.h>

#include "connection/try.h"

#define FIRST_KEYS 256u

static int reserve(struct map_keys *keys)
{
    if (keys->count < keys->capacity)
        return SQLITE_OK;
    const size_t capacity = keys->capacity ? keys->capacity * 2 : FIRST_KEYS;
    struct udfvm_value *values = realloc(keys->values, capacity * sizeof *values);
    SQL_TRY_MEMORY(values);
    keys->values = values;
    keys->capacity = capacity;
    return SQLITE_OK;
}

/* Keeps the bytes of a TEXT or BLOB. */
static int add_bytes(struct map_keys *keys, struct udfvm_value *value, const void *bytes,
                     size_t length)
{
    value->length = (uint32_t)length;
    value->offset = keys->bytes.length;
    SQL_TRY_MEMORY(bytes || length == 0);
    SQL_TRY_MEMORY(buffer_append(&keys->bytes, bytes, length));
    return SQLITE_OK;
}

int map_keys_add(sqlite_library *library, struct map_keys *keys, sqlite3_value *key)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_value value = { .type = UDFVM_TYPE_NULL };
    const void *bytes;
    SQL_TRY(reserve(keys));
    switch (sqlite3_value_type(key)) {
    case SQLITE_INTEGER:
        value.type = UDFVM_TYPE_INT64;
        value.integer = sqlite3_value_int64(key);
        break;
    case SQLITE_FLOAT:
        value.type = UDFVM_TYPE_FLOAT64;
        value.real = sqlite3_value_double(key);
        break;
    case SQLITE_TEXT:
        value.type = UDFVM_TYPE_TEXT;
        bytes = sqlite3_value_text(key);
        SQL_TRY(add_bytes(keys, &value, bytes, (size_t)sqlite3_value_bytes(key)));
        break;
    case SQLITE_BLOB:
        value.type = UDFVM_TYPE_BLOB;
        bytes = sqlite3_value_blob(key);
        SQL_TRY(add_bytes(keys, &value, bytes, (size_t)sqlite3_value_bytes(key)));
        break;
    default:
        break;
    }
    keys->values[keys->count++] = value;
    return SQLITE_OK;
}

void map_keys_result(sqlite_library *library, const struct map_keys *keys, uint64_t index,
                     sqlite3_context *context)
{
    sqlite_library *sqlite3_api = library;
    const struct udfvm_value *value = &keys->values[index];
    const char *bytes = keys->bytes.data ? (const char *)keys->bytes.data + value->offset : "";
    switch (value->type) {
    case UDFVM_TYPE_INT64:
        sqlite3_result_int64(context, value->integer);
        break;
    case UDFVM_TYPE_FLOAT64:
        sqlite3_result_double(context, value->real);
        break;
    case UDFVM_TYPE_TEXT:
        sqlite3_result_text64(context, bytes, value->length, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    case UDFVM_TYPE_BLOB:
        sqlite3_result_blob64(context, bytes, value->length, SQLITE_TRANSIENT);
        break;
    default:
        sqlite3_result_null(context);
        break;
    }
}

void map_keys_clear(struct map_keys *keys)
{
    keys->count = 0;
    keys->bytes.length = 0;
}

void map_keys_free(struct map_keys *keys)
{
    free(keys->values);
    buffer_free(&keys->bytes);
    *keys = (struct map_keys){ 0 };
}
