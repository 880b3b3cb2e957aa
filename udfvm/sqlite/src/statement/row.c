/* Single rows: SQL values to struct udfvm_row in the input window, and a guest's reply to an SQL
 * result. */
#include <string.h>

#include "statement/row.h"

#include "connection/try.h"
#include "statement/report.h"
#include "utf8.h"
#include "column_format.h"
#include "wire/view.h"

static bool exact_real(const struct sql_parameter *parameter, int64_t integer)
{
    const double real = parameter->single
                            ? (double)(float)integer
                            : (double)integer; /* 2^63 is a double, but not an int64_t */
    return real < 9223372036854775808.0 && (int64_t)real == integer;
}

static bool fits_times(sqlite_library *library, const struct udfvm_sqlite_times *times, int found,
                       sqlite3_value *value, int64_t *integer)
{
    sqlite_library *sqlite3_api = library;
    char written[TIMES_TEXT];
    if (times->form == UDFVM_SQLITE_TIME_COUNT)
        return found == SQLITE_INTEGER &&
               times_write(times, sqlite3_value_int64(value), written) != 0;
    if (found != SQLITE_TEXT)
        return false;
    const char *text = (const char *)sqlite3_value_text(value);
    return text && times_read(times, text, (size_t)sqlite3_value_bytes(value), integer);
}

/* Returns true if a value that is not NULL has the parameter's type, by the rules of
 * udfvm/types/conversions.py for the types of SQL. tests/sqlite/test_conversions.py compares them.
 * *integer is then what an INT64 or BOOL is for the function. */
static bool fits(sqlite_library *library, const struct sql_parameter *parameter, int found,
                 sqlite3_value *value, int64_t *integer)
{
    sqlite_library *sqlite3_api = library;
    if (parameter->times.form != UDFVM_SQLITE_AS_DECLARED)
        return fits_times(library, &parameter->times, found, value, integer);
    switch (parameter->type) {
    case UDFVM_TYPE_INT64:
        *integer = found == SQLITE_INTEGER ? sqlite3_value_int64(value) : 0;
        return found == SQLITE_INTEGER;
    case UDFVM_TYPE_FLOAT64:
        return found == SQLITE_FLOAT ||
               (found == SQLITE_INTEGER && exact_real(parameter, sqlite3_value_int64(value)));
    case UDFVM_TYPE_TEXT:
        return found == SQLITE_TEXT;
    case UDFVM_TYPE_BLOB:
        return found == SQLITE_BLOB;
    case TYPE_ANY:
        *integer = found == SQLITE_INTEGER ? sqlite3_value_int64(value) : 0;
        return true;
    default:
        *integer = found == SQLITE_INTEGER ? sqlite3_value_int64(value) : -1;
        return (uint64_t)*integer <= 1;
    }
}

enum row_check value_check(const struct session *session, uint32_t index, sqlite3_value *value,
                           int64_t *integer, char **wrong)
{
    const struct sql_function *function = session->function;
    sqlite_library *sqlite3_api = function->registry->library;
    const int found = sqlite3_value_type(value);
    if (found == SQLITE_NULL)
        return ROW_NULL;
    if (fits(sqlite3_api, &function->parameters[index], found, value, integer))
        return ROW_CALL;
    *wrong = describe_wrong_type(session, index, value);
    return ROW_BAD;
}

enum row_check row_check(const struct session *session, sqlite3_value **arguments,
                         int64_t integers[MAX_PARAMETERS], char **wrong)
{
    const struct sql_function *function = session->function;
    enum row_check result = ROW_CALL;
    for (uint32_t i = 0; i < function->parameter_count; i++) {
        const enum row_check check = value_check(session, i, arguments[i], &integers[i], wrong);
        if (check == ROW_BAD)
            return ROW_BAD;
        if (check == ROW_NULL && !function->parameters[i].nullable)
            result = ROW_NULL;
    }
    return result;
}

/* Returns the type with which a value goes to the function. */
static uint32_t type_of(sqlite_library *library, const struct sql_parameter *parameter,
                        sqlite3_value *value)
{
    static const uint32_t types[] = { [SQLITE_INTEGER] = UDFVM_TYPE_INT64,
                                      [SQLITE_FLOAT] = UDFVM_TYPE_FLOAT64,
                                      [SQLITE_TEXT] = UDFVM_TYPE_TEXT,
                                      [SQLITE_BLOB] = UDFVM_TYPE_BLOB,
                                      [SQLITE_NULL] = UDFVM_TYPE_NULL };
    sqlite_library *sqlite3_api = library;
    const int found = sqlite3_value_type(value);
    return found == SQLITE_NULL || parameter->type == TYPE_ANY ? types[found] : parameter->type;
}

int value_bytes(const struct session *session, uint32_t index, sqlite3_value *value,
                char text[TIMES_TEXT], const void **bytes, size_t *length, char **wrong)
{
    const struct sql_parameter *parameter = &session->function->parameters[index];
    sqlite_library *sqlite3_api = session->function->registry->library;
    if (parameter->times.form == UDFVM_SQLITE_TIME_COUNT) {
        *bytes = text;
        *length = times_write(&parameter->times, sqlite3_value_int64(value), text);
        return SQLITE_OK;
    }
    const bool is_text = type_of(sqlite3_api, parameter, value) == UDFVM_TYPE_TEXT;
    *bytes = is_text ? (const void *)sqlite3_value_text(value) : sqlite3_value_blob(value);
    *length = (size_t)sqlite3_value_bytes(value);
    SQL_TRY_MEMORY(*bytes || (!is_text && *length == 0));
    if (!is_text || utf8_is_valid(*bytes, *length))
        return SQLITE_OK;
    *wrong = describe_argument(session, index, "is TEXT that is not valid UTF-8");
    return *wrong ? SQLITE_ERROR : SQLITE_NOMEM;
}

/* Makes room for the row to grow to `size` bytes. Returns false with the SQL error set. */
static bool reserve(const struct session *session, sqlite3_context *context,
                    struct row_request *request, uint64_t size)
{
    if (row_input(request) && size <= sizeof request->here)
        return true;
    struct udfvm_error error;
    uint8_t *window = udfvm_vm_input(session->vm, size, &error);
    if (!window) {
        report_core_error(session, context, &error);
        return false;
    }
    if (row_input(request))
        memcpy(window, request->here, request->length);
    request->bytes = window;
    return true;
}

/* Appends the bytes of a TEXT or BLOB. Returns false with the SQL error set. */
static bool encode_bytes(const struct session *session, sqlite3_context *context, uint32_t index,
                         sqlite3_value *argument, struct udfvm_value *value,
                         struct row_request *request)
{
    const struct sql_function *function = session->function;
    sqlite_library *library = function->registry->library, *sqlite3_api = library;
    const void *bytes;
    size_t length;
    char *wrong = NULL, text[TIMES_TEXT];
    if (value_bytes(session, index, argument, text, &bytes, &length, &wrong) != SQLITE_OK) {
        if (wrong)
            fail_with(library, context, wrong);
        else
            sqlite3_result_error_nomem(context);
        return false;
    }
    const uint64_t capacity = udfvm_vm_input_capacity(session->vm);
    if (length > capacity - request->length) {
        fail_with(library, context,
                  describe(session, UDFVM_SQLITE_INPUT,
                           "argument '%.128s' (position %u) of %s does not fit into the input "
                           "window of %s; pass fewer or smaller values",
                           function->parameters[index].name, index + 1,
                           udfvm_format_size(length).text, udfvm_format_size(capacity).text));
        return false;
    }
    if (!reserve(session, context, request, request->length + length))
        return false;
    value->length = (uint32_t)length;
    value->offset = request->length;
    if (length)
        memcpy(request->bytes + request->length, bytes, length);
    request->length += length;
    return true;
}

bool row_encode(const struct session *session, sqlite3_context *context, sqlite3_value **arguments,
                const int64_t integers[MAX_PARAMETERS], struct row_request *request)
{
    const struct sql_function *function = session->function;
    sqlite_library *sqlite3_api = function->registry->library;
    struct udfvm_row row = { .count = function->parameter_count };
    const uint64_t fixed = sizeof row + (uint64_t)row.count * sizeof(struct udfvm_value);
    if (fixed > sizeof request->here && fixed > udfvm_vm_input_capacity(session->vm)) {
        fail_with(
            sqlite3_api, context,
            describe(session, UDFVM_SQLITE_INPUT,
                     "%u arguments do not fit into the input window of %s: raise memory=, which "
                     "limits the window",
                     row.count, udfvm_format_size(udfvm_vm_input_capacity(session->vm)).text));
        return false;
    }
    request->bytes = (uint8_t *)request->here;
    request->length = 0;
    if (!reserve(session, context, request, fixed))
        return false;
    request->length = fixed;
    memcpy(request->bytes, &row, sizeof row);
    for (uint32_t i = 0; i < row.count; i++) {
        struct udfvm_value value = { .type = type_of(sqlite3_api, &function->parameters[i],
                                                     arguments[i]) };
        if (value.type == UDFVM_TYPE_NULL)
            value.integer = 0;
        else if (value.type == UDFVM_TYPE_INT64 || value.type == UDFVM_TYPE_BOOL)
            value.integer = integers[i];
        else if (value.type == UDFVM_TYPE_FLOAT64)
            value.real = sqlite3_value_double(arguments[i]);
        else if (!encode_bytes(session, context, i, arguments[i], &value, request))
            return false;
        memcpy(request->bytes + sizeof row + i * sizeof value, &value, sizeof value);
    }
    return true;
}

static void bad_reply(const struct session *session, sqlite3_context *context, const char *why)
{
    fail_with(session->function->registry->library, context, describe_bad_reply(session, why));
}

static void decode_bytes(const struct session *session, sqlite3_context *context,
                         const struct udfvm_reply *reply, const struct udfvm_value *value)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    if (!udfvm_inside(value->offset, value->length, reply->length)) {
        bad_reply(session, context, "bytes outside of the reply");
        return;
    }
    const uint8_t *bytes = (const uint8_t *)reply->data + value->offset;
    if (value->type == UDFVM_TYPE_BLOB)
        sqlite3_result_blob64(context, bytes, value->length, SQLITE_TRANSIENT);
    else if (utf8_is_valid(bytes, value->length)) {
        const char *wrong = times_result_text(&session->function->result_times, bytes,
                                              value->length, sqlite3_api, context);
        if (wrong)
            bad_reply(session, context, wrong);
        else if (session->function->flags & UDFVM_SQLITE_JSON_RESULT)
            sqlite3_result_subtype(context, JSON_SUBTYPE);
    } else
        bad_reply(session, context, "TEXT that is not valid UTF-8");
}

static void decode_integer(const struct session *session, sqlite3_context *context, int64_t integer)
{
    const struct sql_function *function = session->function;
    const char *wrong = times_result_count(&function->result_times, integer,
                                           function->registry->library, context);
    if (wrong)
        bad_reply(session, context, wrong);
}

static bool may_return(const struct sql_function *function, uint32_t type)
{
    if (function->result_type != TYPE_ANY)
        return type == function->result_type;
    return type == UDFVM_TYPE_INT64 || type == UDFVM_TYPE_FLOAT64 || type == UDFVM_TYPE_TEXT ||
           type == UDFVM_TYPE_BLOB || type == UDFVM_TYPE_BOOL;
}

/* The guest does not run now, so the window is stable. Still, a hostile program may have chosen all
 * of it. */
void row_decode(const struct session *session, sqlite3_context *context,
                const struct udfvm_reply *reply)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    struct udfvm_value value;
    if (reply->length < sizeof value) {
        bad_reply(session, context, "too short");
        return;
    }
    memcpy(&value, reply->data, sizeof value);
    if (value.type == UDFVM_TYPE_NULL) {
        sqlite3_result_null(context);
        return;
    }
    if (!may_return(session->function, value.type)) {
        bad_reply(session, context, "not of the declared type");
        return;
    }
    switch (value.type) {
    case UDFVM_TYPE_INT64:
        decode_integer(session, context, value.integer);
        return;
    case UDFVM_TYPE_FLOAT64:
        sqlite3_result_double(context, value.real); /* NaN becomes NULL: SQL has no NaN */
        return;
    case UDFVM_TYPE_BOOL:
        if (value.integer == 0 || value.integer == 1)
            sqlite3_result_int64(context, value.integer);
        else
            bad_reply(session, context, "BOOL that is neither 0 nor 1");
        return;
    default:
        decode_bytes(session, context, reply, &value);
    }
}
