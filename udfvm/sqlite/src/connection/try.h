/* Errors: a function that returns SQLite's codes returns that of the first step that fails. If
 * memory must be freed first, the steps are a function of their own. */
#ifndef UDFVM_SQLITE_TRY_H
#define UDFVM_SQLITE_TRY_H

#include <sqlite3ext.h>

#define SQL_TRY(step)                  \
    do {                               \
        const int code_of_step = step; \
        if (code_of_step != SQLITE_OK) \
            return code_of_step;       \
    } while (0)

/* For steps that return NULL or false if memory is out. */
#define SQL_TRY_MEMORY(made)     \
    do {                         \
        if (!(made))             \
            return SQLITE_NOMEM; \
    } while (0)

#endif
