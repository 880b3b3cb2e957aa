/* vm_functions: an eponymous virtual table of the functions that vm_udf finds. It has those of the
 * connection, then those stored in the database. */
#include <stdlib.h>
#include <string.h>

#include "functions/cursor.h"
#include "functions/tables.h"
#include "sql/signature.h"
#include "sql/stored.h"
#include "connection/times.h"

#define MAX_SHOWN_TEXT 65536u /* bytes shown of a text of the database */

#define SCHEMA                                                                                   \
    "CREATE TABLE x(name TEXT, language TEXT, signature TEXT, size INTEGER, hash TEXT, created " \
    "TEXT, "                                                                                     \
    "version INTEGER, origin TEXT)"
#define STORED_SQL                                                              \
    "SELECT name, language, signature, options, source, created, version FROM " \
    "main.udfvm_functions "                                                     \
    "ORDER BY name"

enum { NAME, LANGUAGE, SIGNATURE, SIZE, HASH, CREATED, VERSION, ORIGIN };

struct functions_cursor {
    sqlite3_vtab_cursor base;
    struct sql_function *own; /* a reference; NULL: no more functions of the connection */
    sqlite3_stmt *stored;     /* NULL: none, or no more */
    sqlite3_int64 row;
};

static int connect_table(sqlite3 *connection, void *data, int count, const char *const *arguments,
                         sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    struct function_registry *registry = data;
    sqlite_library *sqlite3_api = registry->library;
    return function_table_connect(connection, registry, NULL, 0, sqlite3_mprintf("%s", SCHEMA),
                                  table);
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    info->estimatedCost = 100;
    info->estimatedRows = 20;
    return SQLITE_OK;
}

/* The list of functions may change while the cursor is in it. */
static void move_own(struct functions_cursor *cursor, struct sql_function *to)
{
    struct sql_function *from = cursor->own;
    if (to)
        to->references++;
    cursor->own = to;
    if (from)
        function_release(from);
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **cursor)
{
    sqlite_library *sqlite3_api = ((struct function_table *)table)->registry->library;
    struct functions_cursor *made = sqlite3_malloc64(sizeof *made);
    if (!made)
        return SQLITE_NOMEM;
    *made = (struct functions_cursor){ .row = 0 };
    *cursor = &made->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *cursor)
{
    sqlite_library *sqlite3_api = registry_of_table(cursor)->library;
    sqlite3_finalize(((struct functions_cursor *)cursor)->stored);
    move_own((struct functions_cursor *)cursor, NULL);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int step_stored(struct functions_cursor *cursor)
{
    sqlite_library *sqlite3_api = registry_of_table(&cursor->base)->library;
    int code = cursor->stored ? sqlite3_step(cursor->stored) : SQLITE_DONE;
    if (code == SQLITE_ROW)
        return SQLITE_OK;
    int finalized = sqlite3_finalize(cursor->stored);
    cursor->stored = NULL;
    return finalized;
}

static int filter(sqlite3_vtab_cursor *base, int index, const char *text, int count,
                  sqlite3_value **arguments)
{
    (void)index, (void)text, (void)count, (void)arguments;
    struct functions_cursor *cursor = (struct functions_cursor *)base;
    struct function_registry *registry = registry_of_table(base);
    sqlite_library *sqlite3_api = registry->library;
    int code;
    sqlite3_finalize(cursor->stored);
    cursor->stored = NULL;
    cursor->row = 0;
    move_own(cursor, registry->functions);
    if (stored_table(registry, &code) && code == SQLITE_OK)
        code = sqlite3_prepare_v2(registry->connection, STORED_SQL, -1, &cursor->stored, NULL);
    return code == SQLITE_OK && !cursor->own ? step_stored(cursor) : code;
}

static int next(sqlite3_vtab_cursor *base)
{
    struct functions_cursor *cursor = (struct functions_cursor *)base;
    cursor->row++;
    if (cursor->own)
        move_own(cursor, cursor->own->next);
    else
        return step_stored(cursor);
    return cursor->own ? SQLITE_OK : step_stored(cursor);
}

static int at_end(sqlite3_vtab_cursor *base)
{
    const struct functions_cursor *cursor = (const struct functions_cursor *)base;
    return !cursor->own && !cursor->stored;
}

static void signature_of(sqlite_library *library, sqlite3_context *context,
                         const struct sql_function *function)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_str_appendall(out, "(");
    for (uint32_t i = 0; i < function->parameter_count; i++)
        sqlite3_str_appendf(
            out, "%s%s %s%s", i ? ", " : "", function->parameters[i].name,
            type_text(times_sql_type(&function->parameters[i].times, function->parameters[i].type),
                      function->parameters[i].kind == UDFVM_SQLITE_JSON),
            function->parameters[i].nullable ? "?" : "");
    sqlite3_str_appendf(out, ") -> %s",
                        type_text(times_sql_type(&function->result_times, function->result_type),
                                  function->flags & UDFVM_SQLITE_JSON_RESULT));
    sqlite3_result_text(context, sqlite3_str_finish(out), -1, sqlite3_free);
}

static void image_hash(sqlite_library *library, sqlite3_context *context, const udfvm_image *image)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_image_statistics statistics;
    char text[65];
    udfvm_image_statistics(image, &statistics);
    for (size_t i = 0; i < sizeof statistics.digest; i++)
        sqlite3_snprintf(3, text + 2 * i, "%02x", statistics.digest[i]);
    sqlite3_result_text(context, text, 64, SQLITE_TRANSIENT);
}

static void own_column(sqlite_library *library, sqlite3_context *context,
                       const struct sql_function *function, int number)
{
    sqlite_library *sqlite3_api = library;
    switch (number) {
    case NAME:
        sqlite3_result_text(context, function->name, -1, SQLITE_TRANSIENT);
        break;
    case LANGUAGE:
        sqlite3_result_text(context, language_name((unsigned)__builtin_ctz(function->language)), -1,
                            SQLITE_STATIC);
        break;
    case SIGNATURE:
        signature_of(library, context, function);
        break;
    case HASH:
        image_hash(library, context, function->image);
        break;
    case ORIGIN:
        sqlite3_result_text(context, function->embedder ? "connection" : "sealed", -1,
                            SQLITE_STATIC);
        break;
    default:
        sqlite3_result_null(context);
    }
}

/* The hash is computed here: a hash in the database could be wrong. */
static void stored_hash(sqlite_library *library, sqlite3_context *context, sqlite3_stmt *row)
{
    sqlite_library *sqlite3_api = library;
    const char *language = (const char *)sqlite3_column_text(row, 1),
               *signature = (const char *)sqlite3_column_text(row, 2);
    const char *options = (const char *)sqlite3_column_text(row, 3);
    const void *source = sqlite3_column_blob(row, 4);
    char *hash = language && signature && options && source
                     ? definition_hash(library, language, signature, options, source,
                                       (size_t)sqlite3_column_bytes(row, 4))
                     : NULL;
    sqlite3_result_text(context, hash, -1, sqlite3_free);
}

/* Text in a stranger's file may be any bytes. Programs get only valid UTF-8, of limited length. */
static void stored_value(sqlite_library *library, sqlite3_context *context, sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    const void *text = sqlite3_value_type(value) == SQLITE_TEXT ? sqlite3_value_text(value) : NULL;
    if (!text) {
        sqlite3_result_value(context, value);
        return;
    }
    const size_t length = (size_t)sqlite3_value_bytes(value),
                 capacity = 6 * length < MAX_SHOWN_TEXT ? 6 * length : MAX_SHOWN_TEXT;
    char *visible = sqlite3_malloc64(capacity + 1);
    if (visible)
        udfvm_visible_text(text, length, "\n\t", visible, capacity + 1);
    sqlite3_result_text(context, visible, -1, sqlite3_free);
}

static void stored_column(sqlite_library *library, sqlite3_context *context, sqlite3_stmt *row,
                          int number)
{
    sqlite_library *sqlite3_api = library;
    static const int columns[] = {
        [NAME] = 0, [LANGUAGE] = 1, [SIGNATURE] = 2, [CREATED] = 5, [VERSION] = 6
    };
    switch (number) {
    case SIZE:
        sqlite3_result_int64(context, sqlite3_column_bytes(row, 4));
        break;
    case HASH:
        stored_hash(library, context, row);
        break;
    case ORIGIN:
        sqlite3_result_text(context, "database", -1, SQLITE_STATIC);
        break;
    default:
        stored_value(library, context, sqlite3_column_value(row, columns[number]));
    }
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int number)
{
    const struct functions_cursor *cursor = (const struct functions_cursor *)base;
    if (cursor->own)
        own_column(registry_of_table(base)->library, context, cursor->own, number);
    else
        stored_column(registry_of_table(base)->library, context, cursor->stored, number);
    return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
    *id = ((struct functions_cursor *)base)->row;
    return SQLITE_OK;
}

const sqlite3_module functions_module = {
    .iVersion = 1,
    .xConnect = connect_table,
    .xBestIndex = best_index,
    .xDisconnect = function_table_disconnect,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = at_end,
    .xColumn = column,
    .xRowid = row_id,
};
