/* Defaults of parameters, which replace arguments that a call leaves out. */
#include <stdlib.h>
#include <string.h>

#include "connection/function.h"

static int bind(sqlite_library *library, sqlite3_stmt *statement, const struct udfvm_value *value,
                const void *bytes)
{
    sqlite_library *sqlite3_api = library;
    switch (value->type) {
    case UDFVM_TYPE_NULL:
        return sqlite3_bind_null(statement, 1);
    case UDFVM_TYPE_FLOAT64:
        return sqlite3_bind_double(statement, 1, value->real);
    case UDFVM_TYPE_TEXT:
        return sqlite3_bind_text64(statement, 1, bytes, value->length, SQLITE_TRANSIENT,
                                   SQLITE_UTF8);
    case UDFVM_TYPE_BLOB:
        return sqlite3_bind_blob64(statement, 1, bytes, value->length, SQLITE_TRANSIENT);
    default:
        return sqlite3_bind_int64(statement, 1, value->integer);
    }
}

/* Only a statement can make an sqlite3_value, so this one selects the default. */
sqlite3_value *default_create(sqlite_library *library, sqlite3 *connection, const void *encoded,
                              size_t length)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_value value;
    sqlite3_stmt *statement = NULL;
    sqlite3_value *made = NULL;
    if (length < sizeof value)
        return NULL;
    memcpy(&value, encoded, sizeof value);
    const bool variable = value.type == UDFVM_TYPE_TEXT || value.type == UDFVM_TYPE_BLOB;
    if (variable && value.length != length - sizeof value)
        return NULL;
    if (sqlite3_prepare_v2(connection, "SELECT ?1", -1, &statement, NULL) == SQLITE_OK &&
        bind(library, statement, &value, (const uint8_t *)encoded + sizeof value) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        made = sqlite3_value_dup(sqlite3_column_value(statement, 0));
    sqlite3_finalize(statement);
    return made;
}

uint32_t required_count(const struct sql_function *function)
{
    uint32_t required = function->parameter_count;
    while (required > 0 && function->parameters[required - 1].fallback)
        required--;
    return required;
}

bool takes_count(const struct sql_function *function, int count)
{
    return count >= 0 && (uint32_t)count >= required_count(function) &&
           (uint32_t)count <= function->parameter_count;
}

sqlite3_value **with_defaults(const struct sql_function *function, int count, sqlite3_value **given,
                              sqlite3_value *completed[MAX_PARAMETERS])
{
    if ((uint32_t)count == function->parameter_count)
        return given;
    for (uint32_t i = 0; i < function->parameter_count; i++)
        completed[i] = i < (uint32_t)count ? given[i] : function->parameters[i].fallback;
    return completed;
}
