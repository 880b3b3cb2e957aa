/* SQL errors, and the program's own exceptions. Texts are sqlite3_malloc'd; NULL is out of memory.
 */
#ifndef UDFVM_SQLITE_REPORT_H
#define UDFVM_SQLITE_REPORT_H

#include "statement/session.h"

void fail_with(sqlite_library *library, sqlite3_context *context, char *text); /* frees the text */
char *shown(sqlite_library *library, char *text); /* what there is to see of it, which may have come
                                                     from a stranger's file; frees the text */
/* Of a failure of that cause (enum udfvm_sqlite_cause). */
char *describe(const struct session *session, uint32_t cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char *describe_bad_reply(const struct session *session, const char *why);
/* The same about an argument, by its index. */
char *describe_argument(const struct session *session, uint32_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* session->row is the row. */
char *describe_guest_error(const struct session *session, const struct udfvm_reply *reply);
/* Why the core's failure ends the call: SQLITE_INTERRUPT, for which SQLite has the text and *text
 * is NULL, or another code, with *text. */
int explain_core_error(const struct session *session, const struct udfvm_error *error, char **text);
/* That there is no such function, and why: `message`, which it frees, and which becomes the end of
 * the text. `caller` is the SQL function that made it; NULL: a call wants it. */
char *describe_definition(struct function_registry *registry, const char *caller, const char *name,
                          size_t length, char *message, struct udfvm_sqlite_failure failure);
/* Notes the failure to find a function that runs, whose text it is; returns the text. */
char *failing_function(struct function_registry *registry, const char *name, uint32_t cause,
                       char *text);
char *describe_count(const struct sql_function *function, int found);
char *describe_form(const struct sql_function *function, const char *caller);
void report_guest_error(const struct session *session, sqlite3_context *context,
                        const struct udfvm_reply *reply);
/* What the guest reported, as text, sqlite3_malloc'd. NULL: out of memory. */
char *guest_error_text(sqlite_library *library, const struct udfvm_reply *reply);
char *describe_statement_timeout(const struct session *session);
char *timeout_text(
    const struct function_registry *registry); /* the same without function and row */
void report_core_error(const struct session *session, sqlite3_context *context,
                       const struct udfvm_error *error);

/* ---- raise.c: exceptions of the program that embeds SQLite, where it said how to make them ----
 */
void raise_interrupt(const struct session *session, const struct udfvm_error *error);
/* A failure has become an SQL error of that text. A first one keeps what it made. */
void raise_failure(struct function_registry *registry, const struct udfvm_sqlite_failure *failure);
bool exception_pending(const struct session *session); /* nothing of the program may run before it
                                                          has seen its exception */

#endif
