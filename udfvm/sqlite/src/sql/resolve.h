/* Names of functions: what SQL means by one, and what it may have meant. */
#ifndef UDFVM_SQLITE_RESOLVE_H
#define UDFVM_SQLITE_RESOLVE_H

#include "statement/session.h"

/* The function that SQL means by a name: the connection's own, one sealed by a command, one stored
 * in the database; of one of the forms. NULL with *wrong. */
struct sql_function *resolve(struct function_registry *registry, struct statement *statement,
                             const char *caller, const char *name, size_t length, unsigned forms,
                             char **wrong);
/* Why it found none: SQLITE_ERROR, or SQLITE_INTERRUPT, for which SQLite has the text, and frees
 * that of ours. */
int resolve_code(struct function_registry *registry, char **wrong);
void fail_to_resolve(struct function_registry *registry, sqlite3_context *context, char *wrong);

/* ---- unknown.c: names that nothing has ---- */

enum { KNOWN_REGISTERED = 1, KNOWN_STORED = 2, KNOWN_SEALED = 4 };
/* Lists the functions of those origins, and which of them was likely meant. Registered functions
 * are of those forms. */
void append_known(sqlite3_str *text, struct function_registry *registry, const char *wanted,
                  unsigned origins, unsigned forms);
char *describe_unknown(struct function_registry *registry, const char *caller, const char *name,
                       unsigned forms);

#endif
