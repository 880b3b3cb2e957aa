/* Table-valued functions, whose arguments are constraints on hidden columns. */
#ifndef UDFVM_SQLITE_ARGUMENTS_H
#define UDFVM_SQLITE_ARGUMENTS_H

#include "connection/sqlite_copies.h"

enum { MAX_ARGUMENTS = 60 };

/* For xBestIndex: passes the arguments, the hidden columns from number `first` on, to xFilter in
 * their order. xFilter gets their number. The arguments are the first ones, without a gap. */
int arguments_plan(sqlite3_index_info *plan, int first);

/* Copies of a call's arguments, which xColumn returns. */
struct table_arguments {
    int count;
    sqlite3_value **values;
};

int arguments_keep(sqlite_library *library, struct table_arguments *arguments, int count,
                   sqlite3_value **values);
void arguments_drop(sqlite_library *library, struct table_arguments *arguments);
void arguments_result(sqlite_library *library, const struct table_arguments *arguments, int index,
                      sqlite3_context *context);

/* Sets the error of a virtual table. Takes over the text (NULL: out of memory). Returns the code to
 * return. */
int table_fail(sqlite_library *library, sqlite3_vtab *table, int code, char *text);

#endif
