/* SQL functions for each copy of SQLite. ENTRIES(name, body) makes the table name_entries, by the
 * copy's number. Its functions pass the copy's table of routines to the body. */
#ifndef UDFVM_SQLITE_ENTRIES_H
#define UDFVM_SQLITE_ENTRIES_H

#include "connection/sqlite_copies.h"

typedef void sql_entry(sqlite3_context *, int, sqlite3_value **);

#define ENTRY(name, body, n)                                                               \
    static void name##_##n(sqlite3_context *context, int count, sqlite3_value **arguments) \
    {                                                                                      \
        body(sqlite_copies[n], context, count, arguments);                                 \
    }
#define ENTRIES(name, body)                                                                     \
    ENTRY(name, body, 0)                                                                        \
    ENTRY(name, body, 1)                                                                        \
    ENTRY(name, body, 2)                                                                        \
    ENTRY(name, body, 3)                                                                        \
    static sql_entry *const name##_entries[MAX_SQLITE_COPIES] = { name##_0, name##_1, name##_2, \
                                                                  name##_3 };

#ifndef SQLITE_RESULT_SUBTYPE
#define SQLITE_RESULT_SUBTYPE                                                                      \
    0x001000000 /* SQLITE_RESULT_SUBTYPE: SQLite requires it of functions with subtypes since 3.45 \
                 */
#endif
#define FUNCTION_FLAGS (SQLITE_UTF8 | SQLITE_RESULT_SUBTYPE)

#endif
