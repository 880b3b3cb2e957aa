/* Defaults of parameters, which replace arguments that a call leaves out. */
#include <stdlib.h>
#include <string.h>

#include "connection/function.h"
#include "connection/times.h"

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

/* Binds the default of a parameter whose dates and times SQL has in another form. */
static int bind_times(sqlite_library *library, sqlite3_stmt *statement,
                      const struct udfvm_value *value, const void *bytes,
                      const struct udfvm_sqlite_times *times)
{
    sqlite_library *sqlite3_api = library;
    char text[TIMES_TEXT];
    int64_t count;
    if (value->type == UDFVM_TYPE_INT64) {
        const size_t length = times_write(times, value->integer, text);
        return length
                   ? sqlite3_bind_text64(statement, 1, text, length, SQLITE_TRANSIENT, SQLITE_UTF8)
                   : SQLITE_RANGE;
    }
    if (value->type != UDFVM_TYPE_TEXT)
        return bind(library, statement, value, bytes);
    return times_read(times, bytes, value->length, &count) ? sqlite3_bind_int64(statement, 1, count)
                                                           : SQLITE_RANGE;
}

/* Only a statement can make an sqlite3_value, so this one selects the default. */
sqlite3_value *default_create(sqlite_library *library, sqlite3 *connection, const void *encoded,
                              size_t length, const struct udfvm_sqlite_times *times)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_value value;
    sqlite3_stmt *statement = NULL;
    sqlite3_value *made = NULL;
    const uint8_t *bytes = (const uint8_t *)encoded + sizeof value;
    if (length < sizeof value)
        return NULL;
    memcpy(&value, encoded, sizeof value);
    const bool variable = value.type == UDFVM_TYPE_TEXT || value.type == UDFVM_TYPE_BLOB;
    if (variable && value.length != length - sizeof value)
        return NULL;
    if (sqlite3_prepare_v2(connection, "SELECT ?1", -1, &statement, NULL) == SQLITE_OK &&
        (times->form == UDFVM_SQLITE_AS_DECLARED
             ? bind(library, statement, &value, bytes)
             : bind_times(library, statement, &value, bytes, times)) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        made = sqlite3_value_dup(sqlite3_column_value(statement, 0));
    sqlite3_finalize(statement);
    return made;
}

uint32_t required_count(const struct sql_function *function)
{
    uint32_t required = function->parameter_count - is_variadic(function);
    while (required > 0 && function->parameters[required - 1].fallback)
        required--;
    if (required == 0 && is_variadic(function) && function->form == UDFVM_SQLITE_VECTORIZED &&
        function->parameter_count == 1)
        return 1; /* the number of rows is that of a column */
    return required;
}

uint32_t max_count(const struct sql_function *function)
{
    return is_variadic(function) ? (uint32_t)MAX_PARAMETERS : function->parameter_count;
}

bool takes_count(const struct sql_function *function, int count)
{
    return count >= 0 && (uint32_t)count >= required_count(function) &&
           (uint32_t)count <= max_count(function);
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
