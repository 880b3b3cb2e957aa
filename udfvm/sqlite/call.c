/* The SQL functions: vm_udf, which finds a UDF by name, and a UDF's own function. */
#include <string.h>

#include "internal.h"

static void run_row(struct session *session, sqlite3_context *context, sqlite3_value **arguments)
{
    const struct function *function = session->function;
    uint64_t length;
    if (!row_encode(session, context, arguments, &length))
        return;
    struct udfvm_reply reply;
    struct udfvm_error error;
    int (*exchange)(udfvm_vm *, uint32_t, const void *, uint64_t, const struct udfvm_limits *, struct udfvm_reply *, struct udfvm_error *) =
        function->isolation == UDFVM_SQLITE_ROW ? udfvm_vm_call : udfvm_vm_stream_call;
    session->watched = WATCH_NOTHING;
    int code = exchange(session->vm, UDFVM_REQUEST_ROW, session->window, length, &function->limits, &reply, &error);
    watch_end(session);
    if (code != UDFVM_OK) {
        report_core_error(session, context, &error);
        return;
    }
    if (reply.sealed)
        report(session, context, "the guest asked to be sealed in a call");
    else if (reply.status != UDFVM_STATUS_OK)
        report_guest_error(session, context, &reply);
    else
        row_decode(session, context, &reply);
    if (function->isolation == UDFVM_SQLITE_ROW && udfvm_vm_restore(session->vm, &error) != UDFVM_OK)
        report_core_error(session, context, &error);
}

static void call(struct statement *statement, struct session *session, struct function *function, sqlite3_context *context,
                 sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = function->registry->library;
    if (!session)
        session = session_create(statement, function);
    if (!session) {
        sqlite3_result_error_nomem(context);
        return;
    }
    session->row++;
    enum row_check check = row_check(session, context, arguments);
    if (check == ROW_NULL)
        sqlite3_result_null(context);
    if (check != ROW_CALL)
        return;
    if (session->end_ns != UINT64_MAX && monotonic_ns() >= session->end_ns) {
        report_statement_timeout(session, context);
        return;
    }
    struct udfvm_error error = { .code = UDFVM_OK };
    bool interrupted = connection_interrupted(sqlite3_api, function->registry->connection);
    if (!interrupted && (session->vm || session_begin(session, &error)))
        run_row(session, context, arguments);
    else if (interrupted || connection_interrupted(sqlite3_api, function->registry->connection))
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    else
        report_core_error(session, context, &error);
}

void call_own(sqlite_library *library, sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;                                         /* SQLite has checked it */
    sqlite_library *sqlite3_api = library;
    struct function *function = sqlite3_user_data(context);
    struct statement alone = { .library = library };
    struct statement *statement = statement_of(library, context, &alone);
    call(statement, statement_find(statement, function), function, context, arguments);
    statement_clear(&alone);
}

static void fail(sqlite_library *library, sqlite3_context *context, sqlite3_str *text)
{
    sqlite_library *sqlite3_api = library;
    char *complete = sqlite3_str_finish(text);
    if (complete)
        sqlite3_result_error(context, complete, -1);
    else
        sqlite3_result_error_nomem(context);
    sqlite3_free(complete);
}

static void fail_unknown(const struct registry *registry, sqlite3_context *context, const char *caller, const char *name)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendf(text, "%s: no UDF named '%.128s' is registered on this connection%s (registered: ", caller, name,
                        registry->embedded ? "" : ", sealed or stored in its database");
    for (const struct function *function = registry->functions; function; function = function->next)
        sqlite3_str_appendf(text, "%s%s", function == registry->functions ? "" : ", ", function->name);
    sqlite3_str_appendall(text, registry->functions ? ")" : "none)");
    fail(sqlite3_api, context, text);
}

struct function *resolve(struct registry *registry, sqlite3_context *context, const char *caller, const char *name, size_t length)
{
    sqlite_library *sqlite3_api = registry->library;
    char *message = NULL;
    struct function *function = registry_find(registry, name, length);
    if (!function)
        function = sealed_find(registry, name, length, &message);
    if (!function && !message)
        function = stored_find(registry, name, length, &message);
    if (!function && message) {
        sqlite3_str *text = sqlite3_str_new(sqlite3_context_db_handle(context));
        sqlite3_str_appendf(text, "UDF '%s': %s", name, message);
        fail(sqlite3_api, context, text);
    } else if (!function) {
        fail_unknown(registry, context, caller, name);
    }
    sqlite3_free(message);
    return function;
}

static void fail_count(const struct function *function, sqlite3_context *context, int found)
{
    sqlite_library *sqlite3_api = function->registry->library;
    sqlite3_str *text = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendf(text, "UDF '%s': takes %u argument%s (", function->name, function->parameter_count,
                        function->parameter_count == 1 ? "" : "s");
    for (uint32_t i = 0; i < function->parameter_count; i++)
        sqlite3_str_appendf(text, "%s%s", i ? ", " : "", function->parameters[i].name);
    sqlite3_str_appendf(text, "), got %d", found);
    fail(sqlite3_api, context, text);
}

void call_by_name(sqlite_library *library, sqlite3_context *context, int count, sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct registry *registry = sqlite3_user_data(context);
    if (count == 0 || sqlite3_value_type(arguments[0]) != SQLITE_TEXT) {
        sqlite3_result_error(context, "vm_udf: the first argument must be the name of a UDF, as TEXT", -1);
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
    struct function *function = session ? session->function : resolve(registry, context, "vm_udf", name, length);
    if (function && (uint32_t)(count - 1) != function->parameter_count)
        fail_count(function, context, count - 1);
    else if (function)
        call(statement, session ? session : statement_find(statement, function), function, context, arguments + 1);
    statement_clear(&alone);
}
