/* Copies of SQLite in this process: apsw's own, say, and the system's below Python's sqlite3.
 *
 * Each copy has a table of routines and object layouts of its own. So there is no global
 * `sqlite3_api`: each object carries the table of its copy, and the macros of sqlite3ext.h find it
 * in a local variable of that name.
 *
 * An SQL function gets only a context of its SQLite, from which nothing can be asked without
 * knowing whose it is: so each copy has functions of its own, which differ in its number. */
#ifndef UDFVM_SQLITE_SQLITE_COPIES_H
#define UDFVM_SQLITE_SQLITE_COPIES_H

#include <sqlite3ext.h>
#include <stdbool.h>
#include <stddef.h>

typedef const sqlite3_api_routines sqlite_library;

#define MAX_SQLITE_COPIES 4
extern sqlite_library *sqlite_copies[MAX_SQLITE_COPIES];

int sqlite_copy_number(sqlite_library *library); /* -1: there are too many */

#endif
