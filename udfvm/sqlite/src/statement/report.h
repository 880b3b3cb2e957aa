/* SQL errors, and exceptions of the program. Texts are sqlite3_malloc'd; NULL means out of
 * memory. */
#ifndef UDFVM_SQLITE_REPORT_H
#define UDFVM_SQLITE_REPORT_H

#include "statement/session.h"

void fail_with(sqlite_library *library, sqlite3_context *context, char *text); /* frees the text */
char *shown(sqlite_library *library, char *text); /* the visible form of a text, which may come from
                                                     a stranger's file; frees the text */
/* Describes a failure of a cause (enum udfvm_sqlite_cause). */
char *describe(const struct session *session, uint32_t cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char *describe_bad_reply(const struct session *session, const char *why);
/* Does the same for a failure about an argument, by its index. */
char *describe_argument(const struct session *session, uint32_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* session->row is the row. */
char *describe_guest_error(const struct session *session, const struct udfvm_reply *reply);
/* Explains why the core's failure ends the call. Returns SQLITE_INTERRUPT, for which SQLite sets
 * the text and *text is NULL, or another code, with *text. */
int explain_core_error(const struct session *session, const struct udfvm_error *error, char **text);
/* Describes why a function cannot be defined. `message`, which it frees, becomes the end of the
 * text. `caller` is the SQL function that stores it; NULL: a call loads it. */
char *describe_definition(struct function_registry *registry, const char *caller, const char *name,
                          size_t length, char *message, struct udfvm_sqlite_failure failure);
/* Reports the failure to find a function to the program. Returns the text. */
char *failing_function(struct function_registry *registry, const char *name, uint32_t cause,
                       char *text);
/* Ends an SQL function with a text, which it frees, and reports the failure to the program. */
void fail_because(struct function_registry *registry, sqlite3_context *context, uint32_t cause,
                  char *text);
/* Returns how many there may be, with their noun: "1 to 2 arguments". NULL: out of memory. */
char *counted(sqlite_library *library, uint32_t minimum, uint32_t maximum, const char *noun);
char *describe_count(const struct sql_function *function, int found);
char *describe_form(const struct sql_function *function, const char *caller);
void report_guest_error(const struct session *session, sqlite3_context *context,
                        const struct udfvm_reply *reply);
/* Returns what the guest reported as text, sqlite3_malloc'd. NULL: out of memory. */
char *guest_error_text(sqlite_library *library, const struct udfvm_reply *reply);
char *describe_statement_timeout(const struct session *session);
char *timeout_text(
    const struct function_registry *registry); /* the same without function and row */
void report_core_error(const struct session *session, sqlite3_context *context,
                       const struct udfvm_error *error);

/* ---- raise.c: exceptions of the program that embeds SQLite, if it makes any ---- */
void raise_interrupt(const struct session *session, const struct udfvm_error *error);
/* Called when a failure has become an SQL error with a text. The first exception stays pending. */
void raise_failure(struct function_registry *registry, const struct udfvm_sqlite_failure *failure);
bool exception_pending(
    const struct session *session); /* while true, no code of the program may run */

#endif
