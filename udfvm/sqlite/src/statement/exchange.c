/* Exchanges of whole batches: see exchange.h. */
#include "statement/exchange.h"

#include "connection/try.h"
#include "statement/report.h"
#include "statement/row.h"

#include <stdio.h>
#include <string.h>

static int out_of(char *text, char **error)
{
    *error = text;
    return text ? SQLITE_ERROR : SQLITE_NOMEM;
}

static int begin(struct session *session, uint64_t length, char **error)
{
    sqlite_library *library = session->function->registry->library;
    sqlite3 *connection = session->function->registry->connection;
    struct udfvm_error failure;
    if (connection_interrupted(library, connection))
        return SQLITE_INTERRUPT;
    if (exception_pending(session))
        return out_of(describe(session, UDFVM_SQLITE_OTHER,
                               "the statement has failed already: reset it, or begin another"),
                      error);
    if (session->end_ns != UINT64_MAX && udfvm_monotonic_ns() >= session->end_ns)
        return out_of(describe_statement_timeout(session), error);
    if (session_ready(session, length, &failure))
        return SQLITE_OK;
    return connection_interrupted(library, connection)
               ? SQLITE_INTERRUPT
               : explain_core_error(session, &failure, error);
}

static size_t head_size(const struct batch_exchange *exchange)
{
    return exchange->request == UDFVM_REQUEST_COLUMNS ? 0 : sizeof exchange->head;
}

static uint64_t request_length(const struct batch_exchange *exchange)
{
    return head_size(exchange) + (exchange->batch ? batch_size(exchange->batch) : 0);
}

/* A request of one of many small exchanges, for the core to copy. */
struct short_request {
    uint64_t words[UDFVM_MAX_SHORT / sizeof(uint64_t)];
};

/* Writes the request: to `here` if it is short, and *input is that then; otherwise to the window,
 * and *input is NULL. */
static int write_request(struct session *session, const struct batch_exchange *exchange,
                         uint64_t length, struct short_request *here, const void **input,
                         char **error)
{
    const size_t head = head_size(exchange);
    const uint64_t capacity = udfvm_vm_input_capacity(session->vm);
    struct udfvm_error failure;
    if (length > capacity)
        return out_of(
            describe(session, UDFVM_SQLITE_INPUT,
                     "the arguments, %s, do not fit into the input window of %s: raise memory=, "
                     "which limits the window, or pass fewer rows%s",
                     udfvm_format_size(length).text, udfvm_format_size(capacity).text,
                     session->function->flags & UDFVM_SQLITE_WHOLE
                         ? "; or declare elementwise=True, if the function works row by row"
                         : ""),
            error);
    *input = exchange->streaming && length <= sizeof *here ? here : NULL;
    uint8_t *to = *input ? (uint8_t *)here : udfvm_vm_input(session->vm, length, &failure);
    if (!to)
        return explain_core_error(session, &failure, error);
    memcpy(to, exchange->head, head);
    if (exchange->batch)
        batch_write(exchange->batch, to + head);
    return SQLITE_OK;
}

/* Returns the row of a guest's error; -1 if it has none. */
static int64_t guest_row(const struct udfvm_reply *reply)
{
    struct udfvm_guest_error header = { .row = -1 };
    if (reply->length >= sizeof header)
        memcpy(&header, reply->data, sizeof header);
    return header.row;
}

/* Returns the index of that row in the whole input; -1 if it is not known. */
static int64_t row_of(const struct batch_exchange *exchange, int64_t row)
{
    if (row < 0 || (uint64_t)row >= exchange->rows)
        return -1;
    return exchange->rows_of ? exchange->rows_of[row] : exchange->first_row + row;
}

/* Says that the call had several rows, whose results are lost. */
static void add_rows(const struct batch_exchange *exchange, struct udfvm_error *error)
{
    const size_t used = strlen(error->message);
    if (exchange->request == UDFVM_REQUEST_COLUMNS && exchange->rows > 1)
        snprintf(error->message + used, sizeof error->message - used,
                 ": none of its %llu rows has a result", (unsigned long long)exchange->rows);
}

static int fail(struct session *session, const struct batch_exchange *exchange,
                const struct udfvm_error *failure, char **error)
{
    session->row = exchange->rows == 1 && !exchange->rows_of ? row_of(exchange, 0) : -1;
    struct udfvm_error whole = *failure;
    if (failure->code == UDFVM_E_TIMEOUT)
        add_rows(exchange, &whole);
    return explain_core_error(session, &whole, error);
}

/* After a call, which ended with `code`. */
static int take_reply(struct session *session, const struct batch_exchange *exchange, int code,
                      const struct udfvm_error *failure, const struct udfvm_reply *reply,
                      char **error)
{
    watch_end(session);
    if (code != UDFVM_OK)
        return fail(session, exchange, failure, error);
    if (reply->status == UDFVM_STATUS_OK)
        return SQLITE_OK;
    session->row = row_of(exchange, guest_row(reply));
    return out_of(describe_guest_error(session, reply), error);
}

static int call(struct session *session, const struct batch_exchange *exchange, const void *input,
                uint64_t length, struct udfvm_reply *reply, char **error)
{
    const struct udfvm_limits *limits = &session->function->limits;
    struct udfvm_error failure;
    session->watched = WATCH_NOTHING;
    udfvm_vm_tell(session->vm, exchange->rows, 0);
    const int code = exchange->streaming || session->streams
                         ? udfvm_vm_stream_call(session->vm, exchange->request, input, length,
                                                limits, reply, &failure)
                         : udfvm_vm_call(session->vm, exchange->request, input, length, limits,
                                         reply, &failure);
    return take_reply(session, exchange, code, &failure, reply, error);
}

static int exchange_once(struct session *session, const struct batch_exchange *exchange,
                         struct udfvm_reply *reply, char **error)
{
    const uint64_t length = request_length(exchange);
    struct short_request here;
    const void *input;
    SQL_TRY(begin(session, length, error));
    SQL_TRY(write_request(session, exchange, length, &here, &input, error));
    return call(session, exchange, input, length, reply, error);
}

int session_exchange(struct session *session, const struct batch_exchange *exchange,
                     struct udfvm_reply *reply, char **error)
{
    *error = NULL;
    const int code = exchange_once(session, exchange, reply, error);
    session->failed = session->failed || code != SQLITE_OK;
    return code;
}

static int send_once(struct session *session, const struct batch_exchange *exchange, char **error)
{
    const uint64_t length = request_length(exchange);
    struct short_request here;
    const void *input;
    struct udfvm_error failure;
    SQL_TRY(begin(session, length, error));
    SQL_TRY(write_request(session, exchange, length, &here, &input, error));
    const int code = udfvm_vm_stream_send(session->vm, exchange->request, input, length,
                                          &session->function->limits, &failure);
    if (code == UDFVM_E_BUSY)
        return SQLITE_BUSY;
    session->streams = true;
    udfvm_vm_tell(session->vm, exchange->rows, 0);
    return code == UDFVM_OK ? SQLITE_OK : fail(session, exchange, &failure, error);
}

int session_send(struct session *session, const struct batch_exchange *exchange, char **error)
{
    *error = NULL;
    const int code = send_once(session, exchange, error);
    session->failed = session->failed || (code != SQLITE_OK && code != SQLITE_BUSY);
    return code;
}

int session_receive(struct session *session, const struct batch_exchange *exchange,
                    struct udfvm_reply *reply, char **error)
{
    struct udfvm_error failure;
    *error = NULL;
    session->watched = WATCH_NOTHING;
    int code = udfvm_vm_stream_receive(session->vm, reply, &failure);
    code = take_reply(session, exchange, code, &failure, reply, error);
    session->failed = session->failed || code != SQLITE_OK;
    return code;
}

int session_discard(struct session *session, const struct batch_exchange *exchange, char **error)
{
    struct udfvm_reply reply;
    struct udfvm_error failure;
    *error = NULL;
    session->watched = WATCH_NOTHING;
    const int code = udfvm_vm_stream_receive(session->vm, &reply, &failure);
    watch_end(session);
    session->failed = session->failed || code != UDFVM_OK;
    return code == UDFVM_OK ? SQLITE_OK : fail(session, exchange, &failure, error);
}

static bool put(sqlite_library *library, struct batch *batch, size_t column, sqlite3_value *value,
                int64_t integer)
{
    sqlite_library *sqlite3_api = library;
    return batch->columns[column].type == UDFVM_TYPE_FLOAT64
               ? batch_put_real(batch, column, sqlite3_value_double(value))
               : batch_put_integer(batch, column, integer);
}

/* Most values are numbers of the very type. */
static bool put_at_once(sqlite_library *library, struct batch *batch, size_t column,
                        const struct sql_parameter *parameter, sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    const int found = sqlite3_value_type(value);
    if (parameter->times.form != UDFVM_SQLITE_AS_DECLARED)
        return false;
    if (found == SQLITE_FLOAT && parameter->type == UDFVM_TYPE_FLOAT64) {
        const double real = sqlite3_value_double(value);
        return batch_put_word(batch, column, &real);
    }
    if (found == SQLITE_INTEGER && parameter->type == UDFVM_TYPE_INT64) {
        const int64_t integer = sqlite3_value_int64(value);
        return batch_put_word(batch, column, &integer);
    }
    return false;
}

static int put_bytes(const struct session *session, struct batch *batch, size_t column,
                     uint32_t index, sqlite3_value *value, char **error)
{
    const void *bytes;
    size_t length;
    char text[TIMES_TEXT];
    SQL_TRY(value_bytes(session, index, value, text, &bytes, &length, error));
    SQL_TRY_MEMORY(batch_put_bytes(batch, column, bytes, length));
    return SQLITE_OK;
}

static int put_value(const struct session *session, struct batch *batch, size_t column,
                     uint32_t index, sqlite3_value *value, char **error)
{
    const struct sql_parameter *parameter = &session->function->parameters[index];
    const uint32_t type = parameter->type;
    sqlite_library *library = session->function->registry->library;
    int64_t integer = 0;
    if (put_at_once(library, batch, column, parameter, value))
        return SQLITE_OK;
    switch (value_check(session, index, value, &integer, error)) {
    case ROW_NULL:
        SQL_TRY_MEMORY(batch_put_null(batch, column));
        return SQLITE_OK;
    case ROW_BAD:
        return *error ? SQLITE_ERROR : SQLITE_NOMEM;
    default:
        break;
    }
    if (type == UDFVM_TYPE_TEXT || type == UDFVM_TYPE_BLOB)
        return put_bytes(session, batch, column, index, value, error);
    SQL_TRY_MEMORY(put(library, batch, column, value, integer));
    return SQLITE_OK;
}

int batch_put_row(const struct session *session, struct batch *batch, size_t first,
                  sqlite3_value **arguments, char **error)
{
    *error = NULL;
    for (uint32_t i = 0; i < session->function->parameter_count; i++)
        SQL_TRY(put_value(session, batch, first + i, i, arguments[i], error));
    return SQLITE_OK;
}
