/* What virtual tables of functions share: see cursor.h. */
#include "functions/cursor.h"

#include <stdlib.h>

#include "connection/try.h"
#include "sql/resolve.h"
#include "statement/report.h"

static sqlite_library *library_of(const struct function_cursor *cursor)
{
    return registry_of_table(&cursor->base)->library;
}

struct function_registry *registry_of_table(const sqlite3_vtab_cursor *cursor)
{
    return ((struct function_table *)cursor->pVtab)->registry;
}

/* ---- Tables ---- */

int function_table_connect(sqlite3 *connection, struct function_registry *registry,
                           struct sql_function *function, uint32_t width, char *declaration,
                           sqlite3_vtab **made)
{
    sqlite_library *sqlite3_api = registry->library;
    const int code = declaration ? sqlite3_declare_vtab(connection, declaration) : SQLITE_NOMEM;
    sqlite3_free(declaration);
    SQL_TRY(code);
    if (!function || !(function->flags & UDFVM_SQLITE_IN_SCHEMA))
        sqlite3_vtab_config(connection, SQLITE_VTAB_DIRECTONLY);
    struct function_table *table = calloc(1, sizeof *table);
    SQL_TRY_MEMORY(table);
    table->registry = registry;
    table->function = function;
    table->width = width;
    registry->references++;
    if (function)
        function->references++;
    *made = &table->base;
    return SQLITE_OK;
}

int function_table_disconnect(sqlite3_vtab *base)
{
    struct function_table *table = (struct function_table *)base;
    if (table->function)
        function_release(table->function);
    registry_release(table->registry);
    free(table);
    return SQLITE_OK;
}

/* ---- Cursors ---- */

int function_cursor_open(sqlite3_vtab *table, size_t size, sqlite3_vtab_cursor **opened)
{
    struct function_cursor *cursor = calloc(1, size);
    SQL_TRY_MEMORY(cursor);
    cursor->statement.library = ((struct function_table *)table)->registry->library;
    *opened = &cursor->base;
    return SQLITE_OK;
}

void function_cursor_stop(struct function_cursor *cursor)
{
    batch_free(cursor->batch);
    cursor->batch = NULL;
    results_free(&cursor->results);
    cursor->rowid = 0;
    cursor->done = false;
}

void function_cursor_close(struct function_cursor *cursor)
{
    function_cursor_stop(cursor);
    arguments_drop(library_of(cursor), &cursor->arguments);
    statement_clear(&cursor->statement);
}

int function_cursor_fail(struct function_cursor *cursor, int code, char *text)
{
    cursor->done = true;
    return table_fail(library_of(cursor), cursor->base.pVtab, code, text);
}

int function_cursor_find(struct function_cursor *cursor, const char *caller, sqlite3_value *value,
                         unsigned forms, struct sql_function **function)
{
    sqlite_library *sqlite3_api = library_of(cursor);
    struct function_registry *registry = registry_of_table(&cursor->base);
    const char *name = (const char *)sqlite3_value_text(value);
    char *wrong;
    SQL_TRY_MEMORY(name);
    *function = resolve(registry, &cursor->statement, caller, name,
                        (size_t)sqlite3_value_bytes(value), forms, &wrong);
    if (*function)
        return SQLITE_OK;
    const int code = resolve_code(registry, &wrong);
    return function_cursor_fail(cursor, code, wrong);
}

int function_cursor_begin(struct function_cursor *cursor, struct sql_function *family, int count)
{
    struct session *session = statement_session(&cursor->statement, family, count);
    SQL_TRY_MEMORY(session);
    const struct sql_function *function = session->function;
    cursor->batch = batch_create(function->parameter_count);
    SQL_TRY_MEMORY(cursor->batch);
    for (uint32_t i = 0; i < function->parameter_count; i++)
        cursor->batch->columns[i].type = function->parameters[i].type;
    return results_create(&cursor->results, session);
}

int function_cursor_column(struct function_cursor *cursor, sqlite3_context *context, int index,
                           int64_t row)
{
    sqlite_library *sqlite3_api = library_of(cursor);
    const int width = (int)((struct function_table *)cursor->base.pVtab)->width;
    char *error = NULL;
    const char *wrong = NULL;
    const int code = results_ready(&cursor->results, &error);
    if (code != SQLITE_OK)
        return function_cursor_fail(cursor, code, error);
    if (index >= width)
        arguments_result(sqlite3_api, &cursor->arguments, index - width, context);
    else if ((size_t)index >= results_width(&cursor->results))
        sqlite3_result_null(context);
    else
        wrong = results_value(&cursor->results, (size_t)index, context);
    if (!wrong)
        return SQLITE_OK;
    cursor->results.session->row = row;
    return function_cursor_fail(cursor, SQLITE_ERROR,
                                describe_bad_reply(cursor->results.session, wrong));
}

int function_cursor_at_end(sqlite3_vtab_cursor *base)
{
    return ((struct function_cursor *)base)->done;
}

int function_cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct function_cursor *)base)->rowid;
    return SQLITE_OK;
}
