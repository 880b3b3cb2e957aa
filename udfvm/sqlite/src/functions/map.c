/* vm_map(udf, query, parameters...): runs a function over the rows of a query, in batches.
 *
 * An eponymous virtual table. The query's first column is a key, which is returned beside the
 * function's results; the other columns are the arguments. The query runs on the connection itself,
 * so the authorizer checks it and it sees the transaction. It must be a single SELECT. Its text may
 * come from anywhere in the outer statement, so the table is SQLITE_DIRECTONLY: no schema can use
 * it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connection/try.h"
#include "functions/cursor.h"
#include "functions/map_keys.h"
#include "functions/tables.h"
#include "statement/report.h"

/* A batch begins with few rows, so that LIMIT 1 does not compute thousands. */
#define FIRST_ROWS         256u
#define MAX_ROWS           16384u
#define MAX_BYTES          (4u << 20)
#define MIN_ROWS_AHEAD     4096u /* of a batch beside which the next is gathered */
#define MAX_MAP_PARAMETERS 32

#define KEY_USED  1u     /* of sqlite3_index_info.colUsed */
#define WITH_KEYS 0x1000 /* in the number of the plan */

struct map_cursor {
    struct function_cursor cursor; /* its statement has at most one session */
    sqlite3_stmt *query;
    struct map_keys keys;      /* of the rows that have results, then of the rows gathered */
    struct map_keys sent_keys; /* of the rows that the function runs on */
    bool has_keys;             /* the statement reads them */
    uint32_t given;            /* columns of the query behind the key */
    bool sent;                 /* it runs on rows, and was not waited for */
    uint64_t rows;             /* the most rows to gather next */
    int64_t rows_before;
    bool query_done;
};

static sqlite_library *library_of(const struct map_cursor *map)
{
    return registry_of_table(&map->cursor.base)->library;
}

static int map_fail(struct map_cursor *map, int code, char *text)
{
    return function_cursor_fail(&map->cursor, code, text);
}

/* ---- The query ---- */

/* Returns the first word of a statement, behind blanks and comments. */
static const char *first_word(const char *sql)
{
    for (;;) {
        sql += strspn(sql, " \t\n\f\r;");
        if (strncmp(sql, "--", 2) == 0) {
            sql += strcspn(sql, "\n");
        } else if (strncmp(sql, "/*", 2) == 0) {
            const char *end = strstr(sql + 2, "*/");
            sql = end ? end + 2 : sql + strlen(sql);
        } else {
            return sql;
        }
    }
}

static bool is_query(const char *sql)
{
    const char *word = first_word(sql);
    return strncasecmp(word, "select", 6) == 0 || strncasecmp(word, "with", 4) == 0 ||
           strncasecmp(word, "values", 6) == 0;
}

static int prepare(struct map_cursor *map, const struct sql_function *function, sqlite3_value *text)
{
    sqlite_library *sqlite3_api = library_of(map);
    sqlite3 *connection = function->registry->connection;
    const char *sql = sqlite3_value_type(text) == SQLITE_TEXT
                          ? (const char *)sqlite3_value_text(text)
                          : NULL,
               *rest = "";
    if (!sql)
        return map_fail(map, SQLITE_ERROR,
                        sqlite3_mprintf("vm_map: the second argument must be a query, as TEXT"));
    if (!is_query(sql))
        return map_fail(map, SQLITE_ERROR, sqlite3_mprintf("vm_map: the query must be a SELECT"));
    int code = sqlite3_prepare_v2(connection, sql, -1, &map->query, &rest);
    if (code != SQLITE_OK)
        return map_fail(map, code,
                        sqlite3_mprintf("vm_map: in the query: %s", sqlite3_errmsg(connection)));
    if (*first_word(rest))
        return map_fail(
            map, SQLITE_ERROR,
            sqlite3_mprintf("vm_map: the query must be one statement; it is followed by: %.40s",
                            rest));
    if (!sqlite3_stmt_readonly(map->query))
        return map_fail(map, SQLITE_ERROR, sqlite3_mprintf("vm_map: the query must not write"));
    const int columns = sqlite3_column_count(map->query);
    const uint32_t minimum = required_count(function),
                   maximum = is_variadic(function) ? MAX_ARGUMENTS : function->parameter_count;
    if (!takes_count(function, columns - 1) || (uint32_t)columns - 1 > maximum)
        return map_fail(
            map, SQLITE_ERROR,
            sqlite3_mprintf("vm_map: UDF '%s' takes %z, so the query must have %z, a key first; it "
                            "has %d",
                            function->name, counted(sqlite3_api, minimum, maximum, "argument"),
                            counted(sqlite3_api, minimum + 1, maximum + 1, "column"), columns));
    map->given = (uint32_t)columns - 1;
    return SQLITE_OK;
}

static int bind(struct map_cursor *map, int count, sqlite3_value **values)
{
    sqlite_library *sqlite3_api = library_of(map);
    const int wanted = sqlite3_bind_parameter_count(map->query);
    if (wanted != count)
        return map_fail(map, SQLITE_ERROR,
                        sqlite3_mprintf("vm_map: the query has %d parameter%s; got %d", wanted,
                                        wanted == 1 ? "" : "s", count));
    for (int i = 0; i < count; i++)
        SQL_TRY(sqlite3_bind_value(map->query, i + 1, values[i]));
    return SQLITE_OK;
}

/* Adds the query's current row to the batch. */
static int take_row(struct map_cursor *map)
{
    sqlite_library *sqlite3_api = library_of(map);
    struct batch *batch = map->cursor.batch;
    struct session *session = map->cursor.results.session;
    sqlite3_value *values[MAX_ARGUMENTS];
    const uint32_t count = session->function->parameter_count, given = map->given;
    char *error = NULL;
    session->row = map->rows_before + (int64_t)batch->rows;
    for (uint32_t i = 0; i < count; i++)
        values[i] = i < given ? sqlite3_column_value(map->query, (int)i + 1)
                              : session->function->parameters[i].fallback;
    int code = SQLITE_OK;
    if (map->has_keys)
        code = map_keys_add(sqlite3_api, &map->keys, sqlite3_column_value(map->query, 0));
    if (code == SQLITE_OK)
        code = batch_put_row(session, batch, 0, values, &error);
    if (code != SQLITE_OK)
        return map_fail(map, code, error);
    batch_end_row(batch);
    return SQLITE_OK;
}

static bool is_full(const struct map_cursor *map)
{
    const struct batch *batch = map->cursor.batch;
    const bool whole = map->cursor.results.session->function->flags & UDFVM_SQLITE_WHOLE;
    return !whole && (batch->rows >= map->rows || batch->bytes >= MAX_BYTES);
}

static int gather(struct map_cursor *map)
{
    sqlite_library *sqlite3_api = library_of(map);
    map->rows_before += (int64_t)map->cursor.batch->rows;
    batch_clear(map->cursor.batch);
    map_keys_clear(&map->keys);
    while (!map->query_done && !is_full(map)) {
        const int code = sqlite3_step(map->query);
        if (code == SQLITE_ROW) {
            SQL_TRY(take_row(map));
        } else if (code == SQLITE_DONE) {
            map->query_done = true;
        } else if (code == SQLITE_INTERRUPT) {
            return map_fail(map, code, NULL); /* SQLite sets the text */
        } else {
            const char *why = sqlite3_errmsg(registry_of_table(&map->cursor.base)->connection);
            return map_fail(map, code, sqlite3_mprintf("vm_map: in the query: %s", why));
        }
    }
    map->rows = map->rows * 4 < MAX_ROWS ? map->rows * 4 : MAX_ROWS;
    return SQLITE_OK;
}

/* ---- The function. While it runs on rows, the next ones are gathered, and their results are read
 * while it runs on those. The query must have begun, and be long enough: what a statement with
 * LIMIT does not read is not computed, and whatever the query calls finds a processor first. ----
 */

static void swap_keys(struct map_cursor *map)
{
    const struct map_keys keys = map->keys;
    map->keys = map->sent_keys;
    map->sent_keys = keys;
}

/* Runs the function on the rows gathered. SQLITE_BUSY: it cannot run beside the query. */
static int send(struct map_cursor *map)
{
    struct function_cursor *cursor = &map->cursor;
    char *error = NULL;
    const int code = results_send(&cursor->results, cursor->batch, map->rows_before, &error);
    map->sent = code == SQLITE_OK;
    return map->sent || code == SQLITE_BUSY ? code : map_fail(map, code, error);
}

/* Gathers rows, and runs the function on them. */
static int begin(struct map_cursor *map)
{
    struct function_cursor *cursor = &map->cursor;
    char *error = NULL;
    SQL_TRY(gather(map));
    if (cursor->batch->rows == 0)
        return SQLITE_OK;
    int code = map->query_done || cursor->batch->rows < MIN_ROWS_AHEAD ? SQLITE_BUSY : send(map);
    if (code == SQLITE_OK)
        swap_keys(map);
    if (code != SQLITE_BUSY)
        return code;
    code = results_begin(&cursor->results, cursor->batch, map->rows_before, &error);
    return code == SQLITE_OK ? code : map_fail(map, code, error);
}

/* Gathers the rows after those that the function runs on, waits for the results of those, and runs
 * it on the next. */
static int go_on(struct map_cursor *map)
{
    struct function_cursor *cursor = &map->cursor;
    char *error = NULL;
    SQL_TRY(gather(map));
    map->sent = false;
    const int code = results_receive(&cursor->results, &error);
    if (code != SQLITE_OK)
        return map_fail(map, code, error);
    swap_keys(map);
    return cursor->batch->rows ? send(map) : SQLITE_OK;
}

/* Goes on until there is a result, or no row is left. */
static int run(struct map_cursor *map)
{
    while (results_done(&map->cursor.results)) {
        map->cursor.done = map->query_done && !map->sent;
        if (map->cursor.done)
            return SQLITE_OK;
        SQL_TRY(map->sent ? go_on(map) : begin(map));
    }
    return SQLITE_OK;
}

/* What the function does for rows that nobody asks for any more is waited for: its state stays. */
static int drop_sent(struct map_cursor *map)
{
    char *error = NULL;
    const int code = map->sent ? results_discard(&map->cursor.results, &error) : SQLITE_OK;
    map->sent = false;
    return code == SQLITE_OK ? code : map_fail(map, code, error);
}

/* ---- The module ---- */

static int map_connect(sqlite3 *connection, void *data, int count, const char *const *arguments,
                       sqlite3_vtab **table, char **error)
{
    (void)count, (void)arguments, (void)error;
    struct function_registry *registry = data;
    sqlite_library *sqlite3_api = registry->library;
    const uint32_t width = registry->width;
    sqlite3_str *text = sqlite3_str_new(connection);
    sqlite3_str_appendall(text, "CREATE TABLE x(key, value");
    for (uint32_t i = 2; i <= width; i++)
        sqlite3_str_appendf(text, ", value%u", i);
    sqlite3_str_appendall(text, ", udf HIDDEN, query HIDDEN");
    for (int i = 1; i <= MAX_MAP_PARAMETERS; i++)
        sqlite3_str_appendf(text, ", p%d HIDDEN", i);
    sqlite3_str_appendall(text, ")");
    return function_table_connect(connection, registry, NULL, width, sqlite3_str_finish(text),
                                  table);
}

static int map_plan(sqlite3_vtab *table, sqlite3_index_info *plan)
{
    const int code = arguments_plan(plan, 1 + (int)((struct function_table *)table)->width);
    if (plan->colUsed & KEY_USED)
        plan->idxNum |= WITH_KEYS;
    return code;
}

static int map_open(sqlite3_vtab *table, sqlite3_vtab_cursor **opened)
{
    return function_cursor_open(table, sizeof(struct map_cursor), opened);
}

static void stop(struct map_cursor *map)
{
    sqlite_library *sqlite3_api = library_of(map);
    sqlite3_finalize(map->query);
    map->query = NULL;
    function_cursor_stop(&map->cursor);
    map_keys_clear(&map->keys);
    map_keys_clear(&map->sent_keys);
    map->sent = false;
    map->rows_before = 0;
    map->rows = FIRST_ROWS;
    map->query_done = false;
}

static int map_close(sqlite3_vtab_cursor *base)
{
    struct map_cursor *map = (struct map_cursor *)base;
    stop(map);
    function_cursor_close(&map->cursor);
    map_keys_free(&map->keys);
    map_keys_free(&map->sent_keys);
    free(map);
    return SQLITE_OK;
}

/* Finds the function, prepares the query, and begins with the function for so many columns. */
static int start(struct map_cursor *map, int count, sqlite3_value **values)
{
    sqlite_library *sqlite3_api = library_of(map);
    struct sql_function *function;
    if (count < 2 || sqlite3_value_type(values[0]) != SQLITE_TEXT)
        return map_fail(
            map, SQLITE_ERROR,
            sqlite3_mprintf("vm_map takes the name of a UDF, a query, and the query's parameters"));
    SQL_TRY(function_cursor_find(&map->cursor, "vm_map", values[0], ~FORM(UDFVM_SQLITE_AGGREGATE),
                                 &function));
    if (function->parameter_count > MAX_ARGUMENTS)
        return map_fail(map, SQLITE_ERROR,
                        sqlite3_mprintf("vm_map: UDF '%s' has too many parameters: there may be %d",
                                        function->name, MAX_ARGUMENTS));
    function->references++; /* SQLite may run SQL while it prepares the query */
    int code = prepare(map, function, values[1]);
    if (code == SQLITE_OK)
        code = function_cursor_begin(&map->cursor, function, (int)map->given);
    function_release(function);
    return code;
}

static int map_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count,
                      sqlite3_value **values)
{
    (void)text;
    struct map_cursor *map = (struct map_cursor *)base;
    SQL_TRY(drop_sent(map));
    stop(map);
    map->has_keys = plan & WITH_KEYS;
    SQL_TRY(arguments_keep(library_of(map), &map->cursor.arguments, count, values));
    SQL_TRY(start(map, count, values));
    SQL_TRY(bind(map, count - 2, values + 2));
    return run(map);
}

static int map_next(sqlite3_vtab_cursor *base)
{
    struct map_cursor *map = (struct map_cursor *)base;
    char *error = NULL;
    map->cursor.rowid++;
    const int code = results_next(&map->cursor.results, &error);
    return code == SQLITE_OK ? run(map) : map_fail(map, code, error);
}

static int map_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    struct map_cursor *map = (struct map_cursor *)base;
    char *error = NULL;
    if (index > 0)
        return function_cursor_column(&map->cursor, context, index - 1, -1);
    const int code = results_ready(&map->cursor.results, &error);
    if (code != SQLITE_OK)
        return map_fail(map, code, error);
    sqlite_library *sqlite3_api = library_of(map);
    if (!map->has_keys)
        return map_fail(map, SQLITE_INTERNAL,
                        sqlite3_mprintf("vm_map: a key is read that was not asked for"));
    map_keys_result(sqlite3_api, &map->keys, results_source(&map->cursor.results), context);
    return SQLITE_OK;
}

static const sqlite3_module map_module = {
    .xConnect = map_connect,
    .xBestIndex = map_plan,
    .xDisconnect = function_table_disconnect,
    .xOpen = map_open,
    .xClose = map_close,
    .xFilter = map_filter,
    .xNext = map_next,
    .xEof = function_cursor_at_end,
    .xColumn = map_column,
    .xRowid = function_cursor_rowid,
};

int map_define(struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    registry
        ->references++; /* the module's reference; SQLite calls the destructor even if it fails */
    return sqlite3_create_module_v2(registry->connection, "vm_map", &map_module, registry,
                                    registry_release_data);
}
