/* A function's own SQL function or table. That of a vectorised function, which vm_map
 * runs, says so. */
#ifndef UDFVM_SQLITE_DEFINE_H
#define UDFVM_SQLITE_DEFINE_H

#include "connection/registry.h"

/* `index` is the number of the copy of SQLite. Returns an SQLite code. */
int define_own(struct sql_function *function, int index);
int undefine_own(const struct sql_function *function);
/* Sets *taken if SQL has a function or table-valued function of that name. Returns an SQLite
 * code. */
int name_is_taken(struct function_registry *registry, const char *name, bool *taken);
/* Returns true if a table or view has the name: it would hide a table-valued function. */
bool table_has_name(struct function_registry *registry, const char *name);

#endif
