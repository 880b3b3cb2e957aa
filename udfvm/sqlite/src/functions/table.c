/* Table functions: vm_table(udf, arguments...), which finds a UDF by name, and a UDF's own
 * function, whose columns have its names.
 *
 * Eponymous virtual tables. A cursor's function runs only as far as its rows are asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "connection/try.h"
#include "functions/cursor.h"
#include "functions/tables.h"
#include "statement/report.h"
#include "statement/row.h"

/* Columns of vm_map and vm_table if sealed functions, which may have more, can be used later. */
#define UNKNOWN_WIDTH 8u

uint32_t widest_table(const struct function_registry *registry)
{
    uint32_t width = registry->embedded ? 1 : UNKNOWN_WIDTH;
    for (const struct sql_function *function = registry->functions; function;
         function = function->next)
        if (function->column_count > width)
            width = function->column_count;
    return width;
}

/* ---- Declarations ---- */

static char *declare_any(sqlite_library *library, sqlite3 *connection, uint32_t width)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str *text = sqlite3_str_new(connection);
    sqlite3_str_appendall(text, "CREATE TABLE x(");
    for (uint32_t i = 1; i <= width; i++)
        sqlite3_str_appendf(text, "c%u, ", i);
    sqlite3_str_appendall(text, "udf HIDDEN");
    for (int i = 1; i < MAX_ARGUMENTS; i++)
        sqlite3_str_appendf(text, ", a%d HIDDEN", i);
    sqlite3_str_appendall(text, ")");
    return sqlite3_str_finish(text);
}

static bool is_column(sqlite_library *library, const struct sql_function *function,
                      const char *name)
{
    sqlite_library *sqlite3_api = library;
    for (uint32_t i = 0; i < function->column_count; i++)
        if (sqlite3_stricmp(function->columns[i].name, name) == 0)
            return true;
    return false;
}

static char *declare_own(sqlite_library *library, sqlite3 *connection,
                         const struct sql_function *function)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str *text = sqlite3_str_new(connection);
    sqlite3_str_appendall(text, "CREATE TABLE x(");
    for (uint32_t i = 0; i < function->column_count; i++)
        sqlite3_str_appendf(text, "%s\"%w\"", i ? ", " : "", function->columns[i].name);
    for (uint32_t i = 0; i < function->parameter_count; i++) {
        const char *name = function->parameters[i].name;
        sqlite3_str_appendf(text, ", \"%s%w\" HIDDEN",
                            is_column(library, function, name) ? "argument:" : "", name);
    }
    sqlite3_str_appendall(text, ")");
    return sqlite3_str_finish(text);
}

static int connect_any(sqlite3 *connection, void *data, int count, const char *const *arguments,
                       sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    struct function_registry *registry = data;
    return function_table_connect(connection, registry, NULL, registry->width,
                                  declare_any(registry->library, connection, registry->width),
                                  table);
}

static int connect_own(sqlite3 *connection, void *data, int count, const char *const *arguments,
                       sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    struct sql_function *function = data;
    return function_table_connect(connection, function->registry, function, function->column_count,
                                  declare_own(function->registry->library, connection, function),
                                  table);
}

static int plan_any(sqlite3_vtab *base, sqlite3_index_info *plan)
{
    return arguments_plan(plan, (int)((struct function_table *)base)->width);
}

/* ---- Cursors ---- */

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **opened)
{
    return function_cursor_open(table, sizeof(struct function_cursor), opened);
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    function_cursor_close((struct function_cursor *)base);
    free(base);
    return SQLITE_OK;
}

static int find_by_name(struct function_cursor *cursor, int count, sqlite3_value **values,
                        struct sql_function **function)
{
    sqlite_library *sqlite3_api = registry_of_table(&cursor->base)->library;
    if (count < 1 || sqlite3_value_type(values[0]) != SQLITE_TEXT)
        return function_cursor_fail(
            cursor, SQLITE_ERROR,
            sqlite3_mprintf(
                "vm_table takes the name of a table function, as TEXT, and its arguments"));
    return function_cursor_find(cursor, "vm_table", values[0], FORM(UDFVM_SQLITE_TABLE), function);
}

static int begin(struct function_cursor *cursor, sqlite3_value **values)
{
    struct session *session = cursor->results.session;
    const int64_t row = ++session->row;
    char *error = NULL;
    int64_t integers[MAX_PARAMETERS];
    const enum row_check check = row_check(session, values, integers, &error);
    if (check == ROW_BAD)
        return function_cursor_fail(cursor, SQLITE_ERROR, error);
    cursor->done = check == ROW_NULL; /* a NULL that the parameter does not allow: no rows */
    if (cursor->done)
        return SQLITE_OK;
    int code = batch_put_row(session, cursor->batch, 0, values, &error);
    if (code == SQLITE_OK) {
        batch_end_row(cursor->batch);
        code = results_begin(&cursor->results, cursor->batch, row, &error);
        session->row = row;
    }
    if (code != SQLITE_OK)
        return function_cursor_fail(cursor, code, error);
    cursor->done = results_done(&cursor->results);
    return SQLITE_OK;
}

/* Each run of a cursor, as for the rows of another table in a join, belongs to the same call: the
 * state lives as long as the statement. */
static int filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count,
                  sqlite3_value **values)
{
    (void)plan, (void)text;
    struct function_cursor *cursor = (struct function_cursor *)base;
    struct sql_function *function = ((struct function_table *)base->pVtab)->function;
    const int skip = function == NULL;
    sqlite3_value *completed[MAX_PARAMETERS];
    function_cursor_stop(cursor);
    SQL_TRY(arguments_keep(registry_of_table(base)->library, &cursor->arguments, count, values));
    if (!function)
        SQL_TRY(find_by_name(cursor, count, values, &function));
    if (!takes_count(function, count - skip))
        return function_cursor_fail(cursor, SQLITE_ERROR, describe_count(function, count - skip));
    SQL_TRY(function_cursor_begin(cursor, function, count - skip));
    return begin(cursor, with_defaults(function, count - skip, values + skip, completed));
}

static int next(sqlite3_vtab_cursor *base)
{
    struct function_cursor *cursor = (struct function_cursor *)base;
    struct session *session = cursor->results.session;
    const int64_t row = session->row;
    char *error = NULL;
    cursor->rowid++;
    const int code = results_next(&cursor->results, &error);
    if (code != SQLITE_OK)
        return function_cursor_fail(cursor, code, error);
    session->row = row;
    cursor->done = results_done(&cursor->results);
    return SQLITE_OK;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    struct function_cursor *cursor = (struct function_cursor *)base;
    return function_cursor_column(cursor, context, index, cursor->results.session->row);
}

/* ---- Modules ---- */

#define MODULE(connector)                       \
    { .xConnect = connector,                    \
      .xBestIndex = plan_any,                   \
      .xDisconnect = function_table_disconnect, \
      .xOpen = open_cursor,                     \
      .xClose = close_cursor,                   \
      .xFilter = filter,                        \
      .xNext = next,                            \
      .xEof = function_cursor_at_end,           \
      .xColumn = column,                        \
      .xRowid = function_cursor_rowid }
static const sqlite3_module any_module = MODULE(connect_any);
static const sqlite3_module own_module = MODULE(connect_own);

int table_define(struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    registry
        ->references++; /* the module's reference; SQLite calls the destructor even if it fails */
    return sqlite3_create_module_v2(registry->connection, "vm_table", &any_module, registry,
                                    registry_release_data);
}

int table_define_own(struct sql_function *function)
{
    sqlite_library *sqlite3_api = function->registry->library;
    function->references++;
    return sqlite3_create_module_v2(function->registry->connection, function->name, &own_module,
                                    function, function_release_data);
}
