/* Connections of SQLite for fuzzers: see sql.h. */
#include "sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"
#include "udfvm_abi.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

int sqlite3_udfvmsqlite_init(sqlite3 *connection, char **error,
                             const struct sqlite3_api_routines *library);

const char *const sql_functions[] = { "f_int",  "f_real", "f_text",   "f_blob", "f_bool",
                                      "f_json", "f_date", "f_moment", "f_time" };
const char *const sql_takers[] = { "p_real", "p_single", "p_text", "p_blob",
                                   "p_bool", "p_date",   "p_time", "p_moment" };

static struct sql_images files = { -1, -1 };
static udfvm_image *base, *layer;
static udfvm_pool *pool;

static const struct sqlite3_api_routines *library;

static int keep_library(sqlite3 *connection, char **error,
                        const struct sqlite3_api_routines *of_sqlite)
{
    (void)connection, (void)error;
    library = of_sqlite;
    return SQLITE_OK;
}

const struct sqlite3_api_routines *sql_library(void)
{
    sqlite3 *connection;
    sqlite3_auto_extension((void (*)(void))keep_library);
    if (sqlite3_open(":memory:", &connection) != SQLITE_OK || !library)
        defect("no library");
    sqlite3_close(connection);
    return library;
}

struct sql_images sql_image_files(void)
{
    struct udfvm_error error = { .message = "" };
    if (pool)
        return files;
    files.base = guest_seal_base();
    base = udfvm_image_open(files.base, NULL, &error);
    files.layer = base ? guest_seal_layer(base) : -1;
    layer = base ? udfvm_image_open(files.layer, base, &error) : NULL;
    pool = layer ? udfvm_pool_create(base, 4, NULL, &error) : NULL;
    if (!pool || sqlite3_auto_extension((void (*)(void))sqlite3_udfvmsqlite_init) != SQLITE_OK)
        defect(error.message);
    return files;
}

/* ---- The offer ---- */

static const struct udfvm_sqlite_parameter parameter = { .name = "x",
                                                         .type = UDFVM_TYPE_INT64,
                                                         .nullable = 1 };
#define DATE { UDFVM_SQLITE_DATE_TEXT, 0, 1 }
static const struct udfvm_sqlite_times date = DATE,
                                       moment = { UDFVM_SQLITE_MOMENT_TEXT, 1, 1000000 },
                                       time_of_day = { UDFVM_SQLITE_TIME_COUNT, 0, 1000000000 };
/* Of the takers, in their order. */
static const struct udfvm_value noon = { .type = UDFVM_TYPE_INT64, .integer = 43200000000 };
static const struct udfvm_sqlite_parameter taken[] = {
    { .name = "x", .type = UDFVM_TYPE_FLOAT64 },
    { .name = "x", .type = UDFVM_TYPE_FLOAT64, .single = 1 },
    { .name = "x", .type = UDFVM_TYPE_TEXT },
    { .name = "x", .type = UDFVM_TYPE_BLOB },
    { .name = "x", .type = UDFVM_TYPE_BOOL },
    { .name = "x", .type = UDFVM_TYPE_INT64, .kind = UDFVM_SQLITE_DATE, .times = DATE },
    { .name = "x",
      .type = UDFVM_TYPE_TEXT,
      .kind = UDFVM_SQLITE_TIME,
      .times = { UDFVM_SQLITE_TIME_COUNT, 0, 1000000000 } },
    { .name = "x",
      .type = UDFVM_TYPE_INT64,
      .kind = UDFVM_SQLITE_MOMENT,
      .fallback = &noon,
      .fallback_length = sizeof noon,
      .times = { UDFVM_SQLITE_MOMENT_TEXT, 1, 1000000 } },
};
static const struct udfvm_sqlite_column columns[] = {
    { .name = "i", .type = UDFVM_TYPE_INT64 },
    { .name = "r", .type = UDFVM_TYPE_FLOAT64 },
    { .name = "s", .type = UDFVM_TYPE_TEXT },
    { .name = "b", .type = UDFVM_TYPE_BLOB },
    { .name = "o", .type = UDFVM_TYPE_BOOL },
    { .name = "d", .type = UDFVM_TYPE_INT64, .times = DATE },
};

static struct udfvm_sqlite_function function(const char *name, uint32_t form, uint32_t type,
                                             uint32_t flags, struct udfvm_sqlite_times times)
{
    const bool is_table = form == UDFVM_SQLITE_TABLE;
    return (struct udfvm_sqlite_function){
        .name = name,
        .pool = pool,
        .image = layer,
        .parameters = &parameter,
        .parameter_count = 1,
        .result_type = type,
        .isolation = UDFVM_SQLITE_ROW,
        .flags = flags,
        .limits = { .timeout_ns = 10000000000u, .max_log = 4096 },
        .wait_ns = 1000000000,
        .form = form,
        .columns = is_table ? columns : NULL,
        .column_count = is_table ? LENGTH(columns) : 0,
        .language = UDFVM_SQLITE_PYTHON,
        .result_times = times,
    };
}

static void forget(uint64_t owner)
{
    (void)owner;
}

static void offer(sqlite3 **connection)
{
    const uint32_t scalar = UDFVM_SQLITE_SCALAR;
    const struct udfvm_sqlite_times none = { 0 };
    struct udfvm_sqlite_function functions[] = {
        function(sql_functions[0], scalar, UDFVM_TYPE_INT64, 0, none),
        function(sql_functions[1], scalar, UDFVM_TYPE_FLOAT64, 0, none),
        function(sql_functions[2], scalar, UDFVM_TYPE_TEXT, 0, none),
        function(sql_functions[3], scalar, UDFVM_TYPE_BLOB, 0, none),
        function(sql_functions[4], scalar, UDFVM_TYPE_BOOL, 0, none),
        function(sql_functions[5], scalar, UDFVM_TYPE_TEXT, UDFVM_SQLITE_JSON_RESULT, none),
        function(sql_functions[6], scalar, UDFVM_TYPE_INT64, 0, date),
        function(sql_functions[7], scalar, UDFVM_TYPE_INT64, 0, moment),
        function(sql_functions[8], scalar, UDFVM_TYPE_TEXT, 0, time_of_day),
        function("t", UDFVM_SQLITE_TABLE, UDFVM_TYPE_INT64, 0, none),
        function("a", UDFVM_SQLITE_AGGREGATE, UDFVM_TYPE_TEXT, UDFVM_SQLITE_INVERSE, none),
        [SQL_FUNCTIONS + 2 + SQL_TAKERS - 1] = { .name = NULL },
    };
    for (size_t i = 0; i < SQL_TAKERS; i++) {
        struct udfvm_sqlite_function *taker = &functions[SQL_FUNCTIONS + 2 + i];
        *taker = function(sql_takers[i], scalar, UDFVM_TYPE_INT64, 0, none);
        taker->parameters = &taken[i];
    }
    const struct udfvm_sqlite_policy policy = {
        .languages = UDFVM_SQLITE_PYTHON | UDFVM_SQLITE_WASM | UDFVM_SQLITE_NATIVE,
        .allow_create = 1,
        .max_source = 4096,
        .limits = { .timeout_ns = 10000000000u, .max_log = 4096 },
        .load_timeout_ns = 10000000000u,
    };
    const struct udfvm_sqlite_runtime runtimes[] = {
        { .language = UDFVM_SQLITE_PYTHON, .pool = pool, .base = base },
        { .language = UDFVM_SQLITE_WASM, .pool = pool, .base = base },
        { .language = UDFVM_SQLITE_NATIVE, .pool = pool, .base = base },
    };
    const struct udfvm_sqlite_offer made = {
        .size = sizeof made,
        .function_size = sizeof *functions,
        .functions = functions,
        .count = LENGTH(functions),
        .policy = &policy,
        .runtimes = runtimes,
        .runtime_count = LENGTH(runtimes),
        .release = forget,
    };
    udfvm_sqlite_set_offer(&made);
    if (sqlite3_open(":memory:", connection) != SQLITE_OK)
        defect(sqlite3_errmsg(*connection));
    udfvm_sqlite_set_offer(NULL);
}

sqlite3 *sql_open(bool offers)
{
    sqlite3 *connection = NULL;
    sql_image_files();
    if (offers)
        offer(&connection);
    else if (sqlite3_open(":memory:", &connection) != SQLITE_OK)
        defect(sqlite3_errmsg(connection));
    return connection;
}

sqlite3_stmt *sql_prepare(sqlite3 *connection, const char *text)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection, text, -1, &statement, NULL) != SQLITE_OK)
        defect(sqlite3_errmsg(connection));
    return statement;
}

void sql_bind(sqlite3_stmt *statement, int index, const uint8_t *bytes, size_t length)
{
    enum { BLOB = 1, INTEGER, REAL, NONE };
    struct input number = { bytes + (length > 0), length - (length > 0) };
    switch (length ? bytes[0] : 0) {
    case BLOB:
        sqlite3_bind_blob(statement, index, bytes + 1, (int)length - 1, SQLITE_STATIC);
        return;
    case INTEGER:
        sqlite3_bind_int64(statement, index, (sqlite3_int64)input_number(&number));
        return;
    case REAL:
        sqlite3_bind_double(statement, index, (double)input_number(&number) / 1024);
        return;
    case NONE:
        sqlite3_bind_null(statement, index);
        return;
    default:
        sqlite3_bind_text(statement, index, (const char *)bytes, (int)length, SQLITE_STATIC);
    }
}

void sql_run(sqlite3_stmt *statement, unsigned rows)
{
    while (rows-- > 0 && sqlite3_step(statement) == SQLITE_ROW)
        for (int column = 0; column < sqlite3_column_count(statement); column++) {
            const void *bytes = sqlite3_column_blob(statement, column);
            read_all(bytes, (size_t)sqlite3_column_bytes(statement, column));
        }
    sqlite3_reset(statement);
}
