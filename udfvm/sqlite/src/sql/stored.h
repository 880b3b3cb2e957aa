/* Functions that are stored in the database. */
#ifndef UDFVM_SQLITE_STORED_H
#define UDFVM_SQLITE_STORED_H

#include "connection/registry.h"

#define MAX_STORED_TEXT 4096 /* bytes of a signature, and of options */

struct stored_definition;

/* Finds the stored function of a name. Returns NULL; without *message if there is none. */
struct sql_function *stored_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message);
/* Returns the function of a definition, which the connection keeps loaded; NULL with *message. */
struct sql_function *stored_load(struct function_registry *registry,
                                 const struct stored_definition *definition, char **message);
/* Drops the loaded function of a name. */
void stored_drop(struct function_registry *registry, const char *name, size_t length);
bool stored_table(struct function_registry *registry,
                  int *code); /* the database has the table of functions */
char *definition_hash(sqlite_library *library, const char *language, const char *signature,
                      const char *options, const void *source,
                      size_t length); /* sqlite3_malloc'd hexadecimal; NULL: out of memory */
void sql_create(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);
void sql_release(sqlite_library *library, sqlite3_context *context, int count,
                 sqlite3_value **arguments);
void sql_drop(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments);

#endif
