/* vm_map(udf, query, parameters...): a function over the rows of a query, in batches.
 *
 * An eponymous virtual table. The query's first column is a key, which comes back beside the
 * function's results; the others are the arguments. The query runs on the connection itself, so it
 * passes its authorizer and sees its transaction; it must be a single SELECT. As it is text that
 * may come from anywhere in the outer statement, the table is SQLITE_DIRECTONLY: no schema can use
 * it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "functions/arguments.h"
#include "functions/results.h"
#include "functions/tables.h"
#include "sql/resolve.h"
#include "statement/report.h"

/* As results.c begins with few rows, and for the same reason. */
#define FIRST_ROWS 256u
#define MAX_ROWS   16384u
#define MAX_BYTES  (4u << 20)
#define PARAMETERS 32

struct map_table {
    sqlite3_vtab base;
    struct function_registry *registry; /* a reference */
    uint32_t width;                     /* of the columns value, value2, ... */
};

/* Keys of a batch: values of any type. */
struct map_keys {
    struct udfvm_value *values; /* those with bytes: offset in `bytes` */
    size_t count, capacity;
    struct batch_buffer bytes;
};

struct map_cursor {
    sqlite3_vtab_cursor base;
    struct statement statement; /* of one session, if any */
    sqlite3_stmt *query;
    struct batch *batch;
    struct map_keys keys;
    struct function_results results;
    struct table_arguments arguments;
    uint64_t rows; /* to gather next, at most */
    int64_t rows_before;
    sqlite3_int64 rowid;
    bool query_done, done;
};

static sqlite_library *library_of(const sqlite3_vtab_cursor *cursor)
{
    return ((struct map_table *)cursor->pVtab)->registry->library;
}

static int fail(struct map_cursor *cursor, int code, char *text)
{
    cursor->done = true;
    return table_fail(library_of(&cursor->base), cursor->base.pVtab, code, text);
}

/* ---- Keys ---- */

static int keep_key(sqlite_library *library, struct map_keys *keys, sqlite3_value *key)
{
    sqlite_library *sqlite3_api = library;
    if (keys->count == keys->capacity) {
        size_t capacity = keys->capacity ? keys->capacity * 2 : FIRST_ROWS;
        struct udfvm_value *values = realloc(keys->values, capacity * sizeof *values);
        if (!values)
            return SQLITE_NOMEM;
        keys->values = values;
        keys->capacity = capacity;
    }
    struct udfvm_value value = { .type = UDFVM_TYPE_NULL };
    const void *bytes = NULL;
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
        break;
    case SQLITE_BLOB:
        value.type = UDFVM_TYPE_BLOB;
        bytes = sqlite3_value_blob(key);
        break;
    default:
        break;
    }
    if (value.type == UDFVM_TYPE_TEXT || value.type == UDFVM_TYPE_BLOB) {
        value.length = (uint32_t)sqlite3_value_bytes(key);
        value.offset = keys->bytes.length;
        if ((!bytes && value.length) || !buffer_append(&keys->bytes, bytes, value.length))
            return SQLITE_NOMEM;
    }
    keys->values[keys->count++] = value;
    return SQLITE_OK;
}

static void key_result(sqlite_library *library, const struct map_keys *keys, uint64_t index,
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

static void forget_keys(struct map_keys *keys)
{
    keys->count = 0;
    keys->bytes.length = 0;
}

/* ---- The query ---- */

/* The first word of a statement, past blanks and comments. */
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

static int prepare(struct map_cursor *cursor, const struct sql_function *function,
                   sqlite3_value *text)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    sqlite3 *connection = function->registry->connection;
    const char *sql = sqlite3_value_type(text) == SQLITE_TEXT
                          ? (const char *)sqlite3_value_text(text)
                          : NULL,
               *rest = "";
    if (!sql)
        return fail(cursor, SQLITE_ERROR,
                    sqlite3_mprintf("vm_map: the second argument must be a query, as TEXT"));
    if (!is_query(sql))
        return fail(cursor, SQLITE_ERROR, sqlite3_mprintf("vm_map: the query must be a SELECT"));
    int code = sqlite3_prepare_v2(connection, sql, -1, &cursor->query, &rest);
    if (code != SQLITE_OK)
        return fail(cursor, code,
                    sqlite3_mprintf("vm_map: in the query: %s", sqlite3_errmsg(connection)));
    if (*first_word(rest))
        return fail(
            cursor, SQLITE_ERROR,
            sqlite3_mprintf(
                "vm_map: the query must be one statement; there is more behind it: %.40s", rest));
    if (!sqlite3_stmt_readonly(cursor->query))
        return fail(cursor, SQLITE_ERROR, sqlite3_mprintf("vm_map: the query must not write"));
    const int columns = sqlite3_column_count(cursor->query);
    if (!takes_count(function, columns - 1))
        return fail(cursor, SQLITE_ERROR,
                    sqlite3_mprintf("vm_map: UDF '%s' takes %u argument%s, so the query must have "
                                    "%u columns, a key first; it has %d",
                                    function->name, function->parameter_count,
                                    function->parameter_count == 1 ? "" : "s",
                                    function->parameter_count + 1, columns));
    return SQLITE_OK;
}

static int bind(struct map_cursor *cursor, int count, sqlite3_value **values)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    const int wanted = sqlite3_bind_parameter_count(cursor->query);
    int code = SQLITE_OK;
    if (wanted != count)
        return fail(cursor, SQLITE_ERROR,
                    sqlite3_mprintf("vm_map: the query has %d parameter%s, got %d", wanted,
                                    wanted == 1 ? "" : "s", count));
    for (int i = 0; i < count && code == SQLITE_OK; i++)
        code = sqlite3_bind_value(cursor->query, i + 1, values[i]);
    return code;
}

/* The row that the query stands at, into the batch. */
static int take_row(struct map_cursor *cursor)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    struct session *session = cursor->results.session;
    sqlite3_value *values[MAX_ARGUMENTS];
    const uint32_t count = session->function->parameter_count;
    char *error = NULL;
    session->row = cursor->rows_before + (int64_t)cursor->batch->rows;
    const uint32_t given = (uint32_t)sqlite3_column_count(cursor->query) - 1;
    for (uint32_t i = 0; i < count; i++)
        values[i] = i < given ? sqlite3_column_value(cursor->query, (int)i + 1)
                              : session->function->parameters[i].fallback;
    int code = keep_key(sqlite3_api, &cursor->keys, sqlite3_column_value(cursor->query, 0));
    if (code == SQLITE_OK)
        code = batch_put_row(session, cursor->batch, 0, values, &error);
    if (code != SQLITE_OK)
        return fail(cursor, code, error);
    batch_end_row(cursor->batch);
    return SQLITE_OK;
}

static bool is_full(const struct map_cursor *cursor)
{
    const bool whole = cursor->results.session->function->flags & UDFVM_SQLITE_WHOLE;
    return !whole && (cursor->batch->rows >= cursor->rows || cursor->batch->bytes >= MAX_BYTES);
}

static int gather(struct map_cursor *cursor)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    cursor->rows_before += (int64_t)cursor->batch->rows;
    batch_clear(cursor->batch);
    forget_keys(&cursor->keys);
    while (!cursor->query_done && !is_full(cursor)) {
        int code = sqlite3_step(cursor->query);
        if (code == SQLITE_ROW) {
            code = take_row(cursor);
            if (code != SQLITE_OK)
                return code;
        } else if (code == SQLITE_DONE) {
            cursor->query_done = true;
        } else if (code == SQLITE_INTERRUPT) {
            return fail(cursor, code, NULL); /* SQLite has the text */
        } else {
            const char *why = sqlite3_errmsg(
                cursor->results.session->function->registry->connection);
            return fail(cursor, code, sqlite3_mprintf("vm_map: in the query: %s", why));
        }
    }
    cursor->rows = cursor->rows * 4 < MAX_ROWS ? cursor->rows * 4 : MAX_ROWS;
    return SQLITE_OK;
}

/* Gathers and runs until there is a result, or nothing more to gather. */
static int run(struct map_cursor *cursor)
{
    while (results_done(&cursor->results)) {
        char *error = NULL;
        cursor->done = cursor->query_done;
        if (cursor->done)
            return SQLITE_OK;
        int code = gather(cursor);
        if (code != SQLITE_OK)
            return code;
        if (cursor->batch->rows == 0)
            continue;
        code = results_begin(&cursor->results, cursor->batch, cursor->rows_before, &error);
        if (code != SQLITE_OK)
            return fail(cursor, code, error);
    }
    return SQLITE_OK;
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
    for (int i = 1; i <= PARAMETERS; i++)
        sqlite3_str_appendf(text, ", p%d HIDDEN", i);
    sqlite3_str_appendall(text, ")");
    char *declaration = sqlite3_str_finish(text);
    int code = declaration ? sqlite3_declare_vtab(connection, declaration) : SQLITE_NOMEM;
    sqlite3_free(declaration);
    if (code != SQLITE_OK)
        return code;
    sqlite3_vtab_config(connection, SQLITE_VTAB_DIRECTONLY);
    struct map_table *map = calloc(1, sizeof *map);
    if (!map)
        return SQLITE_NOMEM;
    map->registry = registry;
    map->width = width;
    registry->references++;
    *table = &map->base;
    return SQLITE_OK;
}

static int map_disconnect(sqlite3_vtab *table)
{
    struct map_table *map = (struct map_table *)table;
    registry_release(map->registry);
    free(map);
    return SQLITE_OK;
}

static int map_plan(sqlite3_vtab *table, sqlite3_index_info *plan)
{
    return arguments_plan(plan, 1 + (int)((struct map_table *)table)->width);
}

static int map_open(sqlite3_vtab *table, sqlite3_vtab_cursor **opened)
{
    struct map_cursor *cursor = calloc(1, sizeof *cursor);
    if (!cursor)
        return SQLITE_NOMEM;
    cursor->statement.library = ((struct map_table *)table)->registry->library;
    *opened = &cursor->base;
    return SQLITE_OK;
}

static void stop(struct map_cursor *cursor)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    sqlite3_finalize(cursor->query);
    cursor->query = NULL;
    batch_free(cursor->batch);
    cursor->batch = NULL;
    results_free(&cursor->results);
    forget_keys(&cursor->keys);
    cursor->rows_before = cursor->rowid = 0;
    cursor->rows = FIRST_ROWS;
    cursor->query_done = cursor->done = false;
}

static int map_close(sqlite3_vtab_cursor *base)
{
    struct map_cursor *cursor = (struct map_cursor *)base;
    stop(cursor);
    arguments_drop(library_of(base), &cursor->arguments);
    statement_clear(&cursor->statement);
    free(cursor->keys.values);
    buffer_free(&cursor->keys.bytes);
    free(cursor);
    return SQLITE_OK;
}

static int find_function(struct map_cursor *cursor, int count, sqlite3_value **values,
                         struct sql_function **function)
{
    sqlite_library *sqlite3_api = library_of(&cursor->base);
    struct function_registry *registry = ((struct map_table *)cursor->base.pVtab)->registry;
    const char *name = count >= 2 && sqlite3_value_type(values[0]) == SQLITE_TEXT
                           ? (const char *)sqlite3_value_text(values[0])
                           : NULL;
    if (!name)
        return fail(cursor, SQLITE_ERROR,
                    sqlite3_mprintf(
                        "vm_map: takes the name of a UDF, a query, and the query's parameters"));
    char *wrong;
    *function = resolve(registry, &cursor->statement, "vm_map", name,
                        (size_t)sqlite3_value_bytes(values[0]), ~FORM(UDFVM_SQLITE_AGGREGATE),
                        &wrong);
    if (!*function) {
        const int code = resolve_code(registry, &wrong);
        return fail(cursor, code, wrong);
    }
    return (*function)->parameter_count > MAX_ARGUMENTS
               ? fail(cursor, SQLITE_ERROR,
                      sqlite3_mprintf("vm_map: UDF '%s' has too many parameters", name))
               : SQLITE_OK;
}

/* Another run of the same cursor goes on in the same call: its state lives as long as the
 * statement. */
static struct session *session_for(struct map_cursor *cursor, struct sql_function *function)
{
    struct session *session = statement_find(&cursor->statement, function);
    return session ? session : session_create(&cursor->statement, function);
}

static int map_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count,
                      sqlite3_value **values)
{
    (void)plan, (void)text;
    struct map_cursor *cursor = (struct map_cursor *)base;
    struct sql_function *function = NULL;
    stop(cursor);
    int code = arguments_keep(library_of(base), &cursor->arguments, count, values);
    if (code == SQLITE_OK)
        code = find_function(cursor, count, values, &function);
    if (code != SQLITE_OK)
        return code;
    struct session *session = session_for(cursor, function);
    cursor->batch = batch_create(function->parameter_count);
    if (!session || !cursor->batch)
        return SQLITE_NOMEM;
    for (uint32_t i = 0; i < function->parameter_count; i++)
        cursor->batch->columns[i].type = function->parameters[i].type;
    code = results_create(&cursor->results, session);
    if (code == SQLITE_OK)
        code = prepare(cursor, function, values[1]);
    if (code == SQLITE_OK)
        code = bind(cursor, count - 2, values + 2);
    return code == SQLITE_OK ? run(cursor) : code;
}

static int map_next(sqlite3_vtab_cursor *base)
{
    struct map_cursor *cursor = (struct map_cursor *)base;
    char *error = NULL;
    cursor->rowid++;
    int code = results_next(&cursor->results, &error);
    return code == SQLITE_OK ? run(cursor) : fail(cursor, code, error);
}

static int map_eof(sqlite3_vtab_cursor *base)
{
    return ((struct map_cursor *)base)->done;
}

static int map_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    struct map_cursor *cursor = (struct map_cursor *)base;
    sqlite_library *sqlite3_api = library_of(base);
    const int width = (int)((struct map_table *)base->pVtab)->width;
    const char *wrong = NULL;
    char *error = NULL;
    int code = results_ready(&cursor->results, &error);
    if (code != SQLITE_OK)
        return fail(cursor, code, error);
    if (index == 0)
        key_result(sqlite3_api, &cursor->keys, results_source(&cursor->results), context);
    else if (index > width)
        arguments_result(sqlite3_api, &cursor->arguments, index - width - 1, context);
    else if ((size_t)index > results_width(&cursor->results))
        sqlite3_result_null(context);
    else
        wrong = results_value(&cursor->results, (size_t)index - 1, context);
    if (!wrong)
        return SQLITE_OK;
    cursor->results.session->row = -1;
    return fail(cursor, SQLITE_ERROR, describe_bad_reply(cursor->results.session, wrong));
}

static int map_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct map_cursor *)base)->rowid;
    return SQLITE_OK;
}

static const sqlite3_module map_module = {
    .xConnect = map_connect,
    .xBestIndex = map_plan,
    .xDisconnect = map_disconnect,
    .xOpen = map_open,
    .xClose = map_close,
    .xFilter = map_filter,
    .xNext = map_next,
    .xEof = map_eof,
    .xColumn = map_column,
    .xRowid = map_rowid,
};

int map_define(struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    registry->references++; /* the module's; SQLite calls the destructor in any case */
    return sqlite3_create_module_v2(registry->connection, "vm_map", &map_module, registry,
                                    registry_release_data);
}
