/* Copies of SQLite in this process. An SQL function gets only a context of its SQLite, from which
 * nothing can be asked without knowing whose it is: so each copy has functions of its own, which
 * differ in the number of their library. */
#ifndef UDFVM_SQLITE_LIBRARIES_H
#define UDFVM_SQLITE_LIBRARIES_H

#include "internal.h"

#define LIBRARIES 4
extern sqlite_library *libraries[LIBRARIES];

int library_index(sqlite_library *library); /* -1: there are too many */

/* aggregate_entries.c: vm_agg, and an aggregate under its own name; a code of SQLite. `flags` as
 * sqlite3_create_function() takes them. */
int aggregate_define_by_name(struct registry *registry, int index, int flags);
int aggregate_define_own(struct function *function, int index, int flags);

#endif
