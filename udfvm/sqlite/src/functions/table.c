/* Table functions: vm_table(udf, arguments...), which finds a UDF by name, and a UDF's own
 * function, whose columns have its names.
 *
 * Eponymous virtual tables. A cursor's function runs as far as its rows are asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "functions/arguments.h"
#include "functions/results.h"
#include "functions/tables.h"
#include "sql/resolve.h"
#include "statement/report.h"
#include "statement/row.h"

/* Columns of vm_map and vm_table where functions that were sealed may turn up later. */
#define UNKNOWN_WIDTH 8u

struct function_table {
    sqlite3_vtab base;
    struct function_registry *registry; /* a reference */
    struct sql_function *function;      /* a reference; NULL: vm_table */
    uint32_t width;
};

struct table_cursor {
    sqlite3_vtab_cursor base;
    struct statement statement; /* of the sessions of each function that it ran */
    struct batch *batch;
    struct function_results results;
    struct table_arguments arguments;
    sqlite3_int64 rowid;
    bool done;
};

static sqlite_library *library_of(const sqlite3_vtab_cursor *cursor)
{
    return ((struct function_table *)cursor->pVtab)->registry->library;
}

static int fail(struct table_cursor *cursor, int code, char *text)
{
    cursor->done = true;
    return table_fail(library_of(&cursor->base), cursor->base.pVtab, code, text);
}

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

static int connect(sqlite3 *connection, struct function_registry *registry,
                   struct sql_function *function, sqlite3_vtab **made)
{
    sqlite_library *sqlite3_api = registry->library;
    const uint32_t width = function ? function->column_count : registry->width;
    char *declaration = function ? declare_own(sqlite3_api, connection, function)
                                 : declare_any(sqlite3_api, connection, width);
    int code = declaration ? sqlite3_declare_vtab(connection, declaration) : SQLITE_NOMEM;
    sqlite3_free(declaration);
    if (code != SQLITE_OK)
        return code;
    if (!function || !(function->flags & UDFVM_SQLITE_IN_SCHEMA))
        sqlite3_vtab_config(connection, SQLITE_VTAB_DIRECTONLY);
    struct function_table *table = calloc(1, sizeof *table);
    if (!table)
        return SQLITE_NOMEM;
    table->registry = registry;
    table->function = function;
    table->width = width;
    registry->references++;
    if (function)
        function->references++;
    *made = &table->base;
    return SQLITE_OK;
}

static int connect_any(sqlite3 *connection, void *data, int count, const char *const *arguments,
                       sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    return connect(connection, data, NULL, table);
}

static int connect_own(sqlite3 *connection, void *data, int count, const char *const *arguments,
                       sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    struct sql_function *function = data;
    return connect(connection, function->registry, function, table);
}

static int disconnect(sqlite3_vtab *base)
{
    struct function_table *table = (struct function_table *)base;
    if (table->function)
        function_release(table->function);
    registry_release(table->registry);
    free(table);
    return SQLITE_OK;
}

static int plan_any(sqlite3_vtab *base, sqlite3_index_info *plan)
{
    return arguments_plan(plan, (int)((struct function_table *)base)->width);
}

/* ---- Cursors ---- */

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **opened)
{
    struct table_cursor *cursor = calloc(1, sizeof *cursor);
    if (!cursor)
        return SQLITE_NOMEM;
    cursor->statement.library = ((struct function_table *)table)->registry->library;
    *opened = &cursor->base;
    return SQLITE_OK;
}

static void stop(struct table_cursor *cursor)
{
    batch_free(cursor->batch);
    cursor->batch = NULL;
    results_free(&cursor->results);
    cursor->rowid = 0;
    cursor->done = false;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    stop(cursor);
    arguments_drop(library_of(base), &cursor->arguments);
    statement_clear(&cursor->statement);
    free(cursor);
    return SQLITE_OK;
}

static int find_by_name(struct table_cursor *cursor, int count, sqlite3_value **values,
                        struct sql_function **function)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    struct function_registry *registry = ((struct function_table *)cursor->base.pVtab)->registry;
    const char *name = count >= 1 && sqlite3_value_type(values[0]) == SQLITE_TEXT
                           ? (const char *)sqlite3_value_text(values[0])
                           : NULL;
    if (!name)
        return fail(
            cursor, SQLITE_ERROR,
            sqlite3_mprintf(
                "vm_table: takes the name of a table function, as TEXT, and its arguments"));
    char *wrong;
    *function = resolve(registry, &cursor->statement, "vm_table", name,
                        (size_t)sqlite3_value_bytes(values[0]), FORM(UDFVM_SQLITE_TABLE), &wrong);
    if (*function)
        return SQLITE_OK;
    const int code = resolve_code(registry, &wrong);
    return fail(cursor, code, wrong);
}

static int begin(struct table_cursor *cursor, struct session *session, sqlite3_value **values)
{
    const struct sql_function *function = session->function;
    char *error = NULL;
    session->row++;
    enum row_check check = row_check(session, values, &error);
    if (check == ROW_BAD)
        return fail(cursor, SQLITE_ERROR, error);
    cursor->done = check == ROW_NULL; /* a NULL that is not welcome: no rows */
    if (cursor->done)
        return SQLITE_OK;
    cursor->batch = batch_create(function->parameter_count);
    if (!cursor->batch || results_create(&cursor->results, session) != SQLITE_OK)
        return SQLITE_NOMEM;
    for (uint32_t i = 0; i < function->parameter_count; i++)
        cursor->batch->columns[i].type = function->parameters[i].type;
    int code = batch_put_row(session, cursor->batch, 0, values, &error);
    if (code == SQLITE_OK) {
        const int64_t row = session->row;
        batch_end_row(cursor->batch);
        code = results_begin(&cursor->results, cursor->batch, row, &error);
        session->row = row;
    }
    if (code != SQLITE_OK)
        return fail(cursor, code, error);
    cursor->done = results_done(&cursor->results);
    return SQLITE_OK;
}

/* Each run of a cursor, as for the rows of another table in a join, goes on in the same call: its
 * state lives as long as the statement. */
static int filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count,
                  sqlite3_value **values)
{
    (void)plan, (void)text;
    struct table_cursor *cursor = (struct table_cursor *)base;
    struct sql_function *function = ((struct function_table *)base->pVtab)->function;
    const int skip = function == NULL;
    stop(cursor);
    int code = arguments_keep(library_of(base), &cursor->arguments, count, values);
    if (code == SQLITE_OK && !function)
        code = find_by_name(cursor, count, values, &function);
    if (code != SQLITE_OK)
        return code;
    if (!takes_count(function, count - skip))
        return fail(cursor, SQLITE_ERROR, describe_count(function, count - skip));
    struct session *session = statement_find(&cursor->statement, function);
    if (!session)
        session = session_create(&cursor->statement, function);
    sqlite3_value *room[MAX_PARAMETERS];
    return session
               ? begin(cursor, session, with_defaults(function, count - skip, values + skip, room))
               : SQLITE_NOMEM;
}

static int next(sqlite3_vtab_cursor *base)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    struct session *session = cursor->results.session;
    const int64_t row = session->row;
    char *error = NULL;
    cursor->rowid++;
    int code = results_next(&cursor->results, &error);
    if (code != SQLITE_OK)
        return fail(cursor, code, error);
    session->row = row;
    cursor->done = results_done(&cursor->results);
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((struct table_cursor *)base)->done;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    sqlite_library *sqlite3_api = library_of(base);
    const int width = (int)((struct function_table *)base->pVtab)->width;
    const char *wrong = NULL;
    char *error = NULL;
    int code = results_ready(&cursor->results, &error);
    if (code != SQLITE_OK)
        return fail(cursor, code, error);
    if (index >= width)
        arguments_result(sqlite3_api, &cursor->arguments, index - width, context);
    else if ((size_t)index >= results_width(&cursor->results))
        sqlite3_result_null(context);
    else
        wrong = results_value(&cursor->results, (size_t)index, context);
    return wrong ? fail(cursor, SQLITE_ERROR, describe_bad_reply(cursor->results.session, wrong))
                 : SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *number)
{
    *number = ((struct table_cursor *)base)->rowid;
    return SQLITE_OK;
}

/* ---- Modules ---- */

#define MODULE(connector)        \
    { .xConnect = connector,     \
      .xBestIndex = plan_any,    \
      .xDisconnect = disconnect, \
      .xOpen = open_cursor,      \
      .xClose = close_cursor,    \
      .xFilter = filter,         \
      .xNext = next,             \
      .xEof = at_end,            \
      .xColumn = column,         \
      .xRowid = rowid }
static const sqlite3_module any_module = MODULE(connect_any);
static const sqlite3_module own_module = MODULE(connect_own);

int table_define(struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    registry->references++; /* the module's; SQLite calls the destructor in any case */
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
