/* SQL error texts: what happened, to which function, in which row. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define TYPE_MAX 256u                    /* bytes kept of what the guest says; a traceback has its end kept, where the error is */
#define MESSAGE_MAX 16384u
#define TRACEBACK_MAX 65536u

static void fail(sqlite_library *library, sqlite3_context *context, sqlite3_str *text)
{
    sqlite_library *sqlite3_api = library;
    int length = sqlite3_str_length(text);
    char *complete = sqlite3_str_finish(text);
    if (!complete) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_result_error(context, complete, length);
    sqlite3_free(complete);
}

/* As udfvm's Python exceptions begin, so that one failure reads the same everywhere. */
static sqlite3_str *begin(const struct session *session, sqlite3_context *context)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3_str *text = sqlite3_str_new(sqlite3_context_db_handle(context));
    sqlite3_str_appendf(text, "UDF '%s', row %lld: ", session->function->name, (long long)session->row);
    return text;
}

void report(const struct session *session, sqlite3_context *context, const char *format, ...)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    sqlite3_str *text = begin(session, context);
    char detail[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    sqlite3_str_appendall(text, detail);
    fail(sqlite3_api, context, text);
}

/* The guest's text is whatever it pleases: what is not UTF-8, and NUL, which would end the message, become U+FFFD. */
static void append_guest_text(sqlite_library *library, sqlite3_str *out, const uint8_t *text, size_t length)
{
    sqlite_library *sqlite3_api = library;
    size_t plain = 0;
    for (size_t i = 0; i < length;) {
        size_t bytes = text[i] ? utf8_sequence(text + i, length - i) : 0;
        if (bytes) {
            i += bytes;
            continue;
        }
        sqlite3_str_append(out, (const char *)text + plain, (int)(i - plain));
        sqlite3_str_append(out, "\xef\xbf\xbd", 3);
        plain = ++i;
    }
    sqlite3_str_append(out, (const char *)text + plain, (int)(length - plain));
}

char *guest_error_text(sqlite_library *library, const struct udfvm_reply *reply)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_guest_error header;
    if (reply->length < sizeof header)
        return sqlite3_mprintf("the guest's error report is too short");
    memcpy(&header, reply->data, sizeof header);
    uint64_t left = reply->length - sizeof header;
    if ((uint64_t)header.type_length + header.message_length + header.traceback_length > left)
        return sqlite3_mprintf("the guest's error report is longer than its reply");
    const uint8_t *type = (const uint8_t *)reply->data + sizeof header;
    const uint8_t *message = type + header.type_length;
    const uint8_t *traceback = message + header.message_length;
    size_t type_length = header.type_length < TYPE_MAX ? header.type_length : TYPE_MAX;
    size_t message_length = header.message_length < MESSAGE_MAX ? header.message_length : MESSAGE_MAX;
    size_t traceback_length = header.traceback_length < TRACEBACK_MAX ? header.traceback_length : TRACEBACK_MAX;

    sqlite3_str *text = sqlite3_str_new(NULL);
    append_guest_text(sqlite3_api, text, type, type_length);
    if (message_length) {
        sqlite3_str_appendall(text, ": ");
        append_guest_text(sqlite3_api, text, message, message_length);
    }
    if (traceback_length) {
        sqlite3_str_appendall(text, "\n");
        append_guest_text(sqlite3_api, text, traceback + (header.traceback_length - traceback_length), traceback_length);
    }
    return sqlite3_str_finish(text);
}

void report_guest_error(const struct session *session, sqlite3_context *context, const struct udfvm_reply *reply)
{
    sqlite_library *sqlite3_api = session->function->registry->library;
    char *detail = guest_error_text(sqlite3_api, reply);
    sqlite3_str *text = begin(session, context);
    if (detail)
        sqlite3_str_appendall(text, detail);
    sqlite3_free(detail);
    fail(sqlite3_api, context, text);
}

static const char *advice(int code)
{
    switch (code) {
    case UDFVM_E_TIMEOUT: return "; raise timeout= if it needs longer";
    case UDFVM_E_OUTPUT: return "; raise max_output= or return less";
    case UDFVM_E_LOG: return "; raise max_log= or print less";
    case UDFVM_E_FORKED: return "; open connections and register UDFs after the fork";
    default: return "";
    }
}

void report_statement_timeout(const struct session *session, sqlite3_context *context)
{
    report(session, context, "the statement did not end within %.3g s (statement_timeout)",
           (double)session->function->registry->policy.statement_timeout_ns / 1e9);
}

void report_core_error(const struct session *session, sqlite3_context *context, const struct udfvm_error *error)
{
    const struct function *function = session->function;
    sqlite_library *sqlite3_api = function->registry->library;
    if (error->code == UDFVM_E_SYSTEM && error->os_errno == ENOMEM) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (error->code == UDFVM_E_INTERRUPTED && session->watched == WATCH_STATEMENT_TIMEOUT) {
        report_statement_timeout(session, context);
        return;
    }
    report(session, context, "%.*s%s", (int)sizeof error->message, error->message, advice(error->code));
    if (error->code != UDFVM_E_INTERRUPTED)
        return;
    sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    if (session->watched == WATCH_INTERRUPT || !function->lease)
        return;                                          /* SQLite's own interrupt, not the program's */
    const struct udfvm_sqlite_interrupt *interrupt = &function->lease->interrupt;
    if (interrupt->raise) {
        int state = interrupt->enter();
        interrupt->raise(interrupt->exception);
        interrupt->leave(state);
    }
}
