/* Scalar SQL functions: vm_udf, which finds a UDF by name, vm_expr, whose UDF is an expression, and
 * a UDF's own function. */
#include "functions/scalar.h"
#include "sql/expression.h"
#include "sql/resolve.h"
#include "statement/report.h"
#include "statement/row.h"

static void run_row(struct session *session, sqlite3_context *context, sqlite3_value **arguments,
                    const int64_t integers[MAX_PARAMETERS])
{
    const struct sql_function *function = session->function;
    struct row_request request;
    if (!row_encode(session, context, arguments, integers, &request))
        return;
    struct udfvm_reply reply;
    struct udfvm_error error;
    int (*exchange)(udfvm_vm *, uint32_t, const void *, uint64_t, const struct udfvm_limits *,
                    struct udfvm_reply *,
                    struct udfvm_error *) = function->isolation == UDFVM_SQLITE_ROW
                                                ? udfvm_vm_call
                                                : udfvm_vm_stream_call;
    session->watched = WATCH_NOTHING;
    int code = exchange(session->vm, UDFVM_REQUEST_ROW, row_input(&request), request.length,
                        &function->limits, &reply, &error);
    watch_end(session);
    if (code != UDFVM_OK) {
        report_core_error(session, context, &error);
        return;
    }
    if (reply.status != UDFVM_STATUS_OK)
        report_guest_error(session, context, &reply);
    else
        row_decode(session, context, &reply);
    if (function->isolation == UDFVM_SQLITE_ROW &&
        udfvm_vm_restore(session->vm, &error) != UDFVM_OK)
        report_core_error(session, context, &error);
}

static void call(struct statement *statement, struct session *session,
                 struct sql_function *function, sqlite3_context *context, sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = function->registry->library;
    if (!session)
        session = session_create(statement, function);
    if (!session) {
        sqlite3_result_error_nomem(context);
        return;
    }
    session->row++;
    char *wrong;
    int64_t integers[MAX_PARAMETERS];
    enum row_check check = row_check(session, arguments, integers, &wrong);
    if (check == ROW_BAD)
        fail_with(sqlite3_api, context, wrong);
    if (check == ROW_NULL)
        sqlite3_result_null(context);
    if (check != ROW_CALL)
        return;
    if (session->end_ns != UINT64_MAX && udfvm_monotonic_ns() >= session->end_ns) {
        fail_with(sqlite3_api, context, describe_statement_timeout(session));
        return;
    }
    struct udfvm_error error; /* set where it is read */
    bool interrupted = connection_interrupted(sqlite3_api, function->registry->connection);
    if (!interrupted && session_ready(session, 0, &error))
        run_row(session, context, arguments, integers);
    else if (interrupted || connection_interrupted(sqlite3_api, function->registry->connection))
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    else
        report_core_error(session, context, &error);
}

/* The same for a function that takes any number of arguments. */
static void call_variadic(struct statement *statement, struct sql_function *family,
                          sqlite3_context *context, int count, sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = family->registry->library;
    sqlite3_value *completed[MAX_PARAMETERS];
    struct session *session = statement_session(statement, family, count);
    if (!session)
        sqlite3_result_error_nomem(context);
    else
        call(statement, session, session->function, context,
             with_defaults(session->function, count, arguments, completed));
}

void call_own(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments)
{
    sqlite3_value *completed[MAX_PARAMETERS];
    sqlite_library *sqlite3_api = library;
    struct sql_function *function = sqlite3_user_data(context);
    struct statement alone = { .library = library };
    struct statement *statement = statement_of(library, context, &alone);
    if (is_variadic(function)) /* SQLite has checked the count */
        call_variadic(statement, function, context, count, arguments);
    else
        call(statement, statement_find(statement, function), function, context,
             with_defaults(function, count, arguments, completed));
    statement_clear(&alone);
}

/* Returns the function that a session's name means. */
static struct sql_function *named_by(const struct session *session)
{
    return session->function->family ? session->function->family : session->function;
}

void call_by_name(sqlite_library *library, sqlite3_context *context, int count,
                  sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    sqlite3_value *completed[MAX_PARAMETERS];
    if (count == 0 || sqlite3_value_type(arguments[0]) != SQLITE_TEXT) {
        sqlite3_result_error(context,
                             "vm_udf: the first argument must be the name of a UDF, as TEXT", -1);
        return;
    }
    const char *name = (const char *)sqlite3_value_text(arguments[0]);
    size_t length = (size_t)sqlite3_value_bytes(arguments[0]);
    if (!name) {
        sqlite3_result_error_nomem(context);
        return;
    }
    struct statement alone = { .library = library };
    struct statement *statement = statement_of(library, context, &alone);
    struct session *session = statement_find_name(statement, name, length);
    char *wrong = NULL;
    struct sql_function *function = session ? named_by(session)
                                            : resolve(registry, statement, "vm_udf", name, length,
                                                      FORM(UDFVM_SQLITE_SCALAR), &wrong);
    if (!function)
        fail_to_resolve(registry, context, wrong);
    else if (!takes_count(function, count - 1))
        fail_with(library, context, describe_count(function, count - 1));
    else if (is_variadic(function))
        call_variadic(statement, function, context, count - 1, arguments + 1);
    else
        call(statement, session ? session : statement_find(statement, function), function, context,
             with_defaults(function, count - 1, arguments + 1, completed));
    statement_clear(&alone);
}

/* vm_expr('a / b * 100', x, y) */
void call_expression(sqlite_library *library, sqlite3_context *context, int count,
                     sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    if (count == 0 || sqlite3_value_type(arguments[0]) != SQLITE_TEXT) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_expr: the first argument must be an expression, as TEXT, "
                                     "such as 'a / b'; its values a, b and so on follow"));
        return;
    }
    if (count - 1 > MAX_EXPRESSION) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_expr: an expression has at most %d values, a to z; got %d",
                                     MAX_EXPRESSION, count - 1));
        return;
    }
    const char *text = (const char *)sqlite3_value_text(arguments[0]);
    const size_t length = (size_t)sqlite3_value_bytes(arguments[0]);
    if (!text) {
        sqlite3_result_error_nomem(context);
        return;
    }
    struct statement alone = { .library = library };
    struct statement *statement = statement_of(library, context, &alone);
    struct session *session = statement_find_expression(statement, text, length, count - 1);
    char *wrong = NULL;
    struct sql_function *function = session ? session->function
                                            : expression_find(registry, statement, text, length,
                                                              count - 1, &wrong);
    if (!function)
        fail_to_resolve(registry, context, wrong);
    else
        call(statement, session ? session : statement_find(statement, function), function, context,
             arguments + 1);
    statement_clear(&alone);
}
