/* What virtual tables of functions share: vm_map, vm_table, table functions under their own names,
 * vm_functions. */
#ifndef UDFVM_SQLITE_CURSOR_H
#define UDFVM_SQLITE_CURSOR_H

#include "functions/arguments.h"
#include "functions/results.h"

struct function_table {
    sqlite3_vtab base;
    struct function_registry *registry; /* a reference */
    struct sql_function *function;      /* a reference; NULL: the first argument names it */
    uint32_t width;                     /* number of result columns */
};

/* For xConnect. `function` may be NULL. Takes over the declaration, sqlite3_malloc'd (NULL: out of
 * memory). */
int function_table_connect(sqlite3 *connection, struct function_registry *registry,
                           struct sql_function *function, uint32_t width, char *declaration,
                           sqlite3_vtab **made);
int function_table_disconnect(sqlite3_vtab *table);
struct function_registry *registry_of_table(const sqlite3_vtab_cursor *cursor);

/* The first part of a cursor over the results of a function. */
struct function_cursor {
    sqlite3_vtab_cursor base;
    struct statement statement; /* the sessions of all functions that it ran */
    struct batch *batch;
    struct function_results results;
    struct table_arguments arguments;
    sqlite3_int64 rowid;
    bool done;
};

/* For xOpen: makes a cursor of `size` bytes, with zeros behind this first part. */
int function_cursor_open(sqlite3_vtab *table, size_t size, sqlite3_vtab_cursor **opened);
/* Ends a run. The statement continues, and so does the state in the micro-VM. */
void function_cursor_stop(struct function_cursor *cursor);
/* For xClose: frees everything except the memory of the cursor itself. */
void function_cursor_close(struct function_cursor *cursor);

/* Ends the cursor with an error. Takes over the text, as table_fail() does. Returns the code to
 * return. */
int function_cursor_fail(struct function_cursor *cursor, int code, char *text);
/* Finds the function, of one of these forms, that the first argument names. */
int function_cursor_find(struct function_cursor *cursor, const char *caller, sqlite3_value *name,
                         unsigned forms, struct sql_function **function);
/* Makes a session of the function in the cursor's statement, and a batch for its rows. They have
 * `count` arguments. */
int function_cursor_begin(struct function_cursor *cursor, struct sql_function *family, int count);
/* Returns a column as the result, counted from 0; the arguments follow the result columns. `row` is
 * the row for errors of the reply; -1: not known. */
int function_cursor_column(struct function_cursor *cursor, sqlite3_context *context, int index,
                           int64_t row);

int function_cursor_at_end(sqlite3_vtab_cursor *base);
int function_cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid);

#endif
