/* Results of a function for a batch of rows: see results.h. */
#include "functions/results.h"

#include "connection/try.h"
#include "statement/report.h"
#include "statement/row.h"

#include <stdlib.h>

/* The first fetch of a table function asks for few rows, so that LIMIT 1 does not compute
 * thousands. Each further fetch asks for more. */
#define FIRST_FETCH 64u
#define MAX_FETCH   16384u

static bool is_table(const struct function_results *results)
{
    return results->session->function->form == UDFVM_SQLITE_TABLE;
}

int results_create(struct function_results *results, struct session *session)
{
    const struct sql_function *function = session->function;
    *results = (struct function_results){ .session = session, .limit = FIRST_FETCH };
    results->count = is_table(results) ? function->column_count + 1 : 1;
    results->types = calloc(results->count, sizeof *results->types);
    if (!results->types)
        return SQLITE_NOMEM;
    results->types[0] = is_table(results) ? (uint32_t)UDFVM_TYPE_INT64 : function->result_type;
    for (size_t i = 1; i < results->count; i++)
        results->types[i] = function->columns[i - 1].type;
    return SQLITE_OK;
}

void results_free(struct function_results *results)
{
    view_close(&results->view);
    free(results->types);
    *results = (struct function_results){ 0 };
}

static int bad_reply(struct function_results *results, const char *wrong, char **error)
{
    struct session *session = results->session;
    session->row = -1;
    session->failed = true;
    *error = describe_bad_reply(session, wrong);
    return *error ? SQLITE_ERROR : SQLITE_NOMEM;
}

/* Checks the source of each row of a table function: the index of the arguments' row, by which its
 * key is found. */
static const char *check_sources(const struct function_results *results)
{
    for (uint64_t row = 0; row < results->view.rows; row++)
        if (view_is_null(&results->view, 0, row) ||
            (uint64_t)view_integer(&results->view, 0, row) >= results->sources)
            return "a row that belongs to no row of arguments";
    return NULL;
}

static int view_reply(struct function_results *results, const struct udfvm_reply *reply,
                      uint64_t max_rows, char **error)
{
    const char *wrong = view_open(&results->view, reply, results->types, results->count, max_rows);
    if (!wrong)
        wrong = is_table(results)                ? check_sources(results)
                : results->view.rows != max_rows ? "not a value for each row"
                                                 : NULL;
    return wrong ? bad_reply(results, wrong, error) : SQLITE_OK;
}

static void drop_reply(struct function_results *results)
{
    view_close(&results->view);
    results->at = 0;
}

static int exchange_rows(struct function_results *results, const struct batch_exchange *exchange,
                         uint64_t max_rows, char **error)
{
    struct udfvm_reply reply;
    drop_reply(results);
    SQL_TRY(session_exchange(results->session, exchange, &reply, error));
    return view_reply(results, &reply, max_rows, error);
}

static int fetch(struct function_results *results, const struct batch *batch, char **error)
{
    const uint64_t rows = results->limit;
    const struct batch_exchange exchange = { .request = batch ? UDFVM_REQUEST_TABLE
                                                              : UDFVM_REQUEST_FETCH,
                                             .head = { rows },
                                             .batch = batch,
                                             .first_row = results->first_row,
                                             .rows = results->sources };
    results->limit = rows * 2 < MAX_FETCH ? rows * 2 : MAX_FETCH;
    return exchange_rows(results, &exchange, rows, error);
}

/* A reply without rows may still announce more. */
static int fetch_until_rows(struct function_results *results, char **error)
{
    while (results->at >= results->view.rows && results->view.more)
        SQL_TRY(fetch(results, NULL, error));
    return SQLITE_OK;
}

static struct batch_exchange exchange_of(const struct batch *batch, int64_t first_row)
{
    return (struct batch_exchange){ .request = UDFVM_REQUEST_COLUMNS,
                                    .batch = batch,
                                    .first_row = first_row,
                                    .rows = batch->rows };
}

int results_begin(struct function_results *results, const struct batch *batch, int64_t first_row,
                  char **error)
{
    results->sources = batch->rows;
    results->first_row = first_row;
    if (!is_table(results)) {
        const struct batch_exchange exchange = exchange_of(batch, first_row);
        return exchange_rows(results, &exchange, batch->rows, error);
    }
    SQL_TRY(fetch(results, batch, error));
    return fetch_until_rows(results, error);
}

int results_send(struct function_results *results, const struct batch *batch, int64_t first_row,
                 char **error)
{
    if (is_table(results)) /* whose rows are fetched one reply after the other */
        return SQLITE_BUSY;
    results->sent = exchange_of(batch, first_row);
    return session_send(results->session, &results->sent, error);
}

int results_receive(struct function_results *results, char **error)
{
    struct udfvm_reply reply;
    drop_reply(results);
    SQL_TRY(session_receive(results->session, &results->sent, &reply, error));
    return view_reply(results, &reply, results->sent.rows, error);
}

int results_discard(struct function_results *results, char **error)
{
    drop_reply(results);
    return session_discard(results->session, &results->sent, error);
}

int results_ready(const struct function_results *results, char **error)
{
    struct udfvm_error failure;
    if (udfvm_vm_check(results->session->vm, &failure) == UDFVM_OK)
        return SQLITE_OK;
    return explain_core_error(results->session, &failure, error);
}

int results_next(struct function_results *results, char **error)
{
    int code = results_ready(results, error);
    results->at++;
    return code == SQLITE_OK ? fetch_until_rows(results, error) : code;
}

uint64_t results_source(const struct function_results *results)
{
    return is_table(results) ? (uint64_t)view_integer(&results->view, 0, results->at) : results->at;
}

size_t results_width(const struct function_results *results)
{
    return is_table(results) ? results->count - 1 : 1;
}

const char *results_value(const struct function_results *results, size_t column,
                          sqlite3_context *context)
{
    const struct sql_function *function = results->session->function;
    sqlite_library *sqlite3_api = function->registry->library;
    const struct udfvm_sqlite_times *times = is_table(results) ? &function->columns[column].times
                                                               : &function->result_times;
    const char *wrong = view_result(&results->view, column + is_table(results), results->at, times,
                                    sqlite3_api, context);
    if (!wrong && !is_table(results) && function->flags & UDFVM_SQLITE_JSON_RESULT)
        sqlite3_result_subtype(context, JSON_SUBTYPE);
    return wrong;
}
