/* vm_agg, and aggregates under their own names. */
#ifndef UDFVM_SQLITE_AGGREGATE_H
#define UDFVM_SQLITE_AGGREGATE_H

#include "statement/session.h"

void aggregate_step(sqlite_library *library, sqlite3_context *context, int count,
                    sqlite3_value **arguments, bool by_name, bool inverse);
void aggregate_value(sqlite_library *library, sqlite3_context *context, bool by_name, bool final);

/* ---- aggregate_entries.c: the functions that SQLite calls, by the number of its copy. `flags` are
 * those of sqlite3_create_function(). They return SQLite codes. ---- */

int aggregate_define_by_name(struct function_registry *registry, int index, int flags);
int aggregate_define_own(struct sql_function *function, int index, int flags);

#endif
