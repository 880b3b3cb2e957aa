/* Table-valued functions: arguments are constraints on hidden columns. */
#ifndef UDFVM_SQLITE_ARGUMENTS_H
#define UDFVM_SQLITE_ARGUMENTS_H

#include "connection/sqlite_copies.h"

enum { MAX_ARGUMENTS = 60 };

/* For xBestIndex: hands the arguments, the hidden columns from number `first` on, to xFilter in
 * their order. xFilter gets their number: all of them have values, from the first on, without a
 * gap. */
int arguments_plan(sqlite3_index_info *plan, int first);

/* Copies of a call's arguments: xColumn shows them. */
struct table_arguments {
    int count;
    sqlite3_value **values;
};

int arguments_keep(sqlite_library *library, struct table_arguments *arguments, int count,
                   sqlite3_value **values);
void arguments_drop(sqlite_library *library, struct table_arguments *arguments);
void arguments_result(sqlite_library *library, const struct table_arguments *arguments, int index,
                      sqlite3_context *context);

/* The error of a virtual table; takes the text (NULL: out of memory). Returns the code to return.
 */
int table_fail(sqlite_library *library, sqlite3_vtab *table, int code, char *text);

#endif
