/* Names of functions: the function that one means, or the one that was probably meant. */
#ifndef UDFVM_SQLITE_RESOLVE_H
#define UDFVM_SQLITE_RESOLVE_H

#include "statement/session.h"

/* Finds the function of a name, in this order: the connection's own, one that a command sealed, one
 * stored in the database. It must have one of the forms. Returns NULL with *wrong. */
struct sql_function *resolve(struct function_registry *registry, struct statement *statement,
                             const char *caller, const char *name, size_t length, unsigned forms,
                             char **wrong);
/* Returns the code of a failure: SQLITE_ERROR; or SQLITE_INTERRUPT, for which SQLite sets the text,
 * and ours is freed. */
int resolve_code(struct function_registry *registry, char **wrong);
void fail_to_resolve(struct function_registry *registry, sqlite3_context *context, char *wrong);

/* ---- unknown.c: unknown names ---- */

enum { KNOWN_REGISTERED = 1, KNOWN_STORED = 2, KNOWN_SEALED = 4 };
/* Lists the functions of these origins, and the one that was probably meant. Registered functions
 * must have one of the forms. */
void append_known(sqlite3_str *text, struct function_registry *registry, const char *wanted,
                  unsigned origins, unsigned forms);
char *describe_unknown(struct function_registry *registry, const char *caller, const char *name,
                       unsigned forms);

#endif
