/* SQL error texts: what happened, to which function, in which row. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "statement/report.h"

#define MAX_WHOLE_TEXT (66u << 10) /* bytes of an error's text, foreign parts included */

char *shown(sqlite_library *library, char *text)
{
    sqlite_library *sqlite3_api = library;
    const size_t length = text ? strlen(text) : 0,
                 capacity = 6 * length < MAX_WHOLE_TEXT ? 6 * length : MAX_WHOLE_TEXT;
    char *visible = text ? sqlite3_malloc64(capacity + 1) : NULL;
    if (visible)
        udfvm_visible_text(text, length, "\n\t", visible, capacity + 1);
    sqlite3_free(text);
    return visible;
}

void fail_with(sqlite_library *library, sqlite3_context *context, char *text)
{
    sqlite_library *sqlite3_api = library;
    text = shown(library, text);
    if (text)
        sqlite3_result_error(context, text, -1);
    else
        sqlite3_result_error_nomem(context);
    sqlite3_free(text);
}

/* Begins a text as udfvm's Python exceptions do, so that a failure reads the same everywhere. */
static sqlite3_str *begin(const struct session *session)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3_str *text = sqlite3_str_new(session->function->registry->connection);
    sqlite3_str_appendf(text, "UDF '%s'", session->function->name);
    if (session->row >= 0)
        sqlite3_str_appendf(text, ", row %lld", (long long)session->row);
    sqlite3_str_appendall(text, ": ");
    return text;
}

/* Returns the text of a failure, and reports `failure` to the program. */
static char *failing(const struct session *session, const char *detail,
                     struct udfvm_sqlite_failure failure)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3_str *text = begin(session);
    const int offset = sqlite3_str_length(text);
    sqlite3_str_appendall(text, detail);
    char *whole = sqlite3_str_finish(text);
    if (!whole)
        return NULL;
    failure.function = session->function->name;
    failure.row = session->row;
    failure.text = whole;
    failure.detail = whole + offset;
    raise_failure(session->function->registry, &failure);
    return whole;
}

char *describe(const struct session *session, uint32_t cause, const char *format, ...)
{
    char detail[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return failing(session, detail, (struct udfvm_sqlite_failure){ .cause = cause });
}

char *describe_bad_reply(const struct session *session, const char *why)
{
    return describe(session, UDFVM_SQLITE_PROTOCOL, "the guest's reply is not valid: %s", why);
}

char *describe_argument(const struct session *session, uint32_t index, const char *format, ...)
{
    const char *name = session->function->parameters[index].name;
    char detail[640];
    const int used = snprintf(detail, sizeof detail, "argument '%.128s' (position %u) ", name,
                              index + 1);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail + used, sizeof detail - (size_t)used, format, arguments);
    va_end(arguments);
    return failing(session, detail,
                   (struct udfvm_sqlite_failure){
                       .cause = UDFVM_SQLITE_TYPE, .position = index + 1, .argument = name });
}

/* Appends the visible form of a guest's text: at most `capacity` bytes of it. */
static void append_guest_text(sqlite_library *library, sqlite3_str *out, const uint8_t *text,
                              size_t length, const char *keep, size_t capacity)
{
    sqlite_library *sqlite3_api = library;
    char *visible = sqlite3_malloc64(capacity + 1);
    if (visible)
        sqlite3_str_append(out, visible,
                           (int)udfvm_visible_text(text, length, keep, visible, capacity + 1));
    else
        sqlite3_str_appendall(out, "(no memory is left for the guest's text)");
    sqlite3_free(visible);
}

/* Reads the report's head. Returns what is wrong with the report; NULL: nothing. */
static const char *read_guest_error(const struct udfvm_reply *reply,
                                    struct udfvm_guest_error *header)
{
    if (reply->length < sizeof *header)
        return "the guest's error report is too short";
    memcpy(header, reply->data, sizeof *header);
    const uint64_t left = reply->length - sizeof *header;
    if ((uint64_t)header->type_length + header->message_length + header->traceback_length > left)
        return "the guest's error report is longer than its reply";
    return NULL;
}

char *guest_error_text(sqlite_library *library, const struct udfvm_reply *reply)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_guest_error header;
    const char *wrong = read_guest_error(reply, &header);
    if (wrong)
        return sqlite3_mprintf("%s", wrong);
    const uint8_t *type = (const uint8_t *)reply->data + sizeof header;
    const uint8_t *message = type + header.type_length;
    const uint8_t *traceback = message + header.message_length;

    sqlite3_str *text = sqlite3_str_new(NULL);
    append_guest_text(sqlite3_api, text, type, header.type_length, "", UDFVM_MAX_ERROR_TYPE);
    if (header.message_length) {
        sqlite3_str_appendall(text, ": ");
        append_guest_text(sqlite3_api, text, message, header.message_length, "\n\t",
                          UDFVM_MAX_ERROR_MESSAGE);
    }
    if (header.traceback_length) {
        sqlite3_str_appendall(text, "\n");
        append_guest_text(sqlite3_api, text, traceback, header.traceback_length, "\n\t",
                          UDFVM_MAX_ERROR_TRACEBACK);
    }
    return sqlite3_str_finish(text);
}

/* Limits of stored functions have other names: see vm_policy. */
static const char *advice(const struct sql_function *function, int code)
{
    const uint64_t highest_ns = function->registry->policy.limits.timeout_ns;
    switch (code) {
    case UDFVM_E_TIMEOUT:
        if (!function->definition)
            return "; raise timeout= if it needs longer";
        return highest_ns && function->limits.timeout_ns >= highest_ns
                   ? "; raise row_timeout of the connection's policy, the most that a function "
                     "gets, if it needs longer"
                   : "; raise row_timeout= if it needs longer";
    case UDFVM_E_OUTPUT:
        return "; raise max_output= or return less";
    case UDFVM_E_LOG:
        return "; raise max_log= or print less";
    case UDFVM_E_HOST_CALLS:
        return "; raise host_calls= if it needs more";
    case UDFVM_E_INPUT:
        return "; pass fewer or smaller values";
    case UDFVM_E_BUSY:
        return "; finish or close statements, call from fewer threads at once, or bind the "
               "function to a larger pool (udfvm.Pool(size=...)), or to one that waits longer "
               "(wait=...)";
    case UDFVM_E_CLOSED:
        return ": bind the function to another pool, or call it before the pool is closed";
    case UDFVM_E_FORKED:
        return "; open connections and register UDFs after the fork";
    default:
        return "";
    }
}

/* Describes an argument that the guest refused before the function was called. */
static char *describe_refused(const struct session *session, const struct udfvm_guest_error *header,
                              const void *message)
{
    const struct sql_function *function = session->function;
    sqlite_library *sqlite3_api = function->registry->library;
    if (header->argument > function->parameter_count)
        return describe_bad_reply(session,
                                  "its error is about an argument that the function does not have");
    const char *name = function->parameters[header->argument - 1].name;
    sqlite3_str *detail = sqlite3_str_new(NULL);
    sqlite3_str_appendf(detail, "argument '%s' (position %u) ", name, header->argument);
    append_guest_text(sqlite3_api, detail, message, header->message_length, "\n\t",
                      UDFVM_MAX_ERROR_MESSAGE);
    char *whole = sqlite3_str_finish(detail);
    char *text = whole ? failing(session, whole,
                                 (struct udfvm_sqlite_failure){ .cause = UDFVM_SQLITE_TYPE,
                                                                .position = header->argument,
                                                                .argument = name })
                       : NULL;
    sqlite3_free(whole);
    return text;
}

char *describe_guest_error(const struct session *session, const struct udfvm_reply *reply)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    struct udfvm_guest_error header;
    if (!read_guest_error(reply, &header) && header.argument && !header.signal)
        return describe_refused(session, &header,
                                (const uint8_t *)reply->data + sizeof header + header.type_length);
    char *detail = guest_error_text(sqlite3_api, reply);
    char *text = detail ? failing(session, detail,
                                  (struct udfvm_sqlite_failure){ .report = reply->data,
                                                                 .report_length = reply->length })
                        : NULL;
    sqlite3_free(detail);
    return text;
}

#define STATEMENT_TIMEOUT "the statement did not end within %.3g s (statement_timeout)"

static double statement_seconds(const struct function_registry *registry)
{
    return (double)registry->policy.statement_timeout_ns / 1e9;
}

char *describe_statement_timeout(const struct session *session)
{
    return describe(session, UDFVM_SQLITE_TIMEOUT, STATEMENT_TIMEOUT,
                    statement_seconds(session->function->registry));
}

char *timeout_text(const struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    return sqlite3_mprintf(STATEMENT_TIMEOUT, statement_seconds(registry));
}

void report_guest_error(const struct session *session, sqlite3_context *context,
                        const struct udfvm_reply *reply)
{
    fail_with(session->function->registry->library, context, describe_guest_error(session, reply));
}

int explain_core_error(const struct session *session, const struct udfvm_error *error, char **text)
{
    *text = NULL;
    if (error->code == UDFVM_E_SYSTEM && error->os_errno == ENOMEM)
        return SQLITE_NOMEM;
    if (error->code == UDFVM_E_INTERRUPTED && session->watched != WATCH_STATEMENT_TIMEOUT) {
        raise_interrupt(session, error);
        return SQLITE_INTERRUPT;
    }
    if (error->code == UDFVM_E_INTERRUPTED ||
        (error->code == UDFVM_E_TIMEOUT && udfvm_monotonic_ns() >= session->end_ns)) {
        *text = describe_statement_timeout(
            session); /* as the watch reported, or the thread of a streaming call */
    } else {
        char detail[sizeof error->message + 256];
        snprintf(detail, sizeof detail, "%.*s%s", (int)sizeof error->message, error->message,
                 advice(session->function, error->code));
        *text = failing(session, detail, (struct udfvm_sqlite_failure){ .error = error });
    }
    return *text ? SQLITE_ERROR : SQLITE_NOMEM;
}

void report_core_error(const struct session *session, sqlite3_context *context,
                       const struct udfvm_error *error)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    char *text;
    if (explain_core_error(session, error, &text) == SQLITE_INTERRUPT)
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    else
        fail_with(sqlite3_api, context, text);
}

char *describe_definition(struct function_registry *registry, const char *caller, const char *name,
                          size_t length, char *message, struct udfvm_sqlite_failure failure)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(registry->connection);
    char copy[MAX_NAME + 1];
    snprintf(copy, sizeof copy, "%.*s", (int)length, name);
    if (caller)
        sqlite3_str_appendf(text, "%s: '%s': ", caller, copy);
    else
        sqlite3_str_appendf(text, "UDF '%s': ", copy);
    const int offset = sqlite3_str_length(text);
    sqlite3_str_appendall(text, message);
    sqlite3_free(message);
    char *whole = sqlite3_str_finish(text);
    if (!whole)
        return NULL;
    failure.function = copy;
    failure.row = -1;
    failure.text = whole;
    failure.detail = whole + offset;
    if (!registry->interrupted)
        raise_failure(registry, &failure);
    return whole;
}

/* A text about a function that does not run has no row. */
char *failing_function(struct function_registry *registry, const char *name, uint32_t cause,
                       char *text)
{
    if (text)
        raise_failure(
            registry,
            &(struct udfvm_sqlite_failure){
                .function = name, .text = text, .detail = text, .row = -1, .cause = cause });
    return text;
}

void fail_because(struct function_registry *registry, sqlite3_context *context, uint32_t cause,
                  char *text)
{
    fail_with(registry->library, context, failing_function(registry, "", cause, text));
}

char *counted(sqlite_library *library, uint32_t minimum, uint32_t maximum, const char *noun)
{
    sqlite_library *sqlite3_api = library;
    const char *ending = maximum == 1 ? "" : "s";
    return minimum == maximum ? sqlite3_mprintf("%u %s%s", maximum, noun, ending)
                              : sqlite3_mprintf("%u to %u %s%s", minimum, maximum, noun, ending);
}

char *describe_count(const struct sql_function *function, int found)
{
    sqlite_library *sqlite3_api = function->registry->library;
    sqlite3_str *text = sqlite3_str_new(function->registry->connection);
    sqlite3_str_appendf(text, "UDF '%s': it takes %z%s", function->name,
                        counted(function->registry->library, required_count(function),
                                max_count(function), "argument"),
                        function->parameter_count ? " (" : "");
    for (uint32_t i = 0; i < function->parameter_count; i++)
        sqlite3_str_appendf(text, "%s%s%s", i ? ", " : "", function->parameters[i].name,
                            function->parameters[i].fallback ? "=" : "");
    sqlite3_str_appendf(text, "%s; got %d", function->parameter_count ? ")" : "", found);
    return failing_function(function->registry, function->name, UDFVM_SQLITE_TYPE,
                            sqlite3_str_finish(text));
}

static const char *const homes[] = { [UDFVM_SQLITE_SCALAR] = "vm_udf or vm_map",
                                     [UDFVM_SQLITE_VECTORIZED] = "vm_map",
                                     [UDFVM_SQLITE_TABLE] = "vm_table or vm_map",
                                     [UDFVM_SQLITE_AGGREGATE] = "vm_agg" };
static const char *const forms_named[] = { [UDFVM_SQLITE_SCALAR] = "a scalar function",
                                           [UDFVM_SQLITE_VECTORIZED] = "a vectorised function",
                                           [UDFVM_SQLITE_TABLE] = "a table function",
                                           [UDFVM_SQLITE_AGGREGATE] = "an aggregate" };

char *describe_form(const struct sql_function *function, const char *caller)
{
    sqlite_library *sqlite3_api = function->registry->library;
    char *text = sqlite3_mprintf("UDF '%s' is %s, which %s does not run: use %s", function->name,
                                 forms_named[function->form], caller, homes[function->form]);
    return failing_function(function->registry, function->name, UDFVM_SQLITE_SIGNATURE, text);
}
