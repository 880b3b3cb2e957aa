/* Copies of SQLite in this process: for example apsw's own, and the system's that Python's sqlite3
 * uses.
 *
 * Each copy has its own table of routines and layouts of objects. So there is no global
 * `sqlite3_api`: each object carries the table of its copy, and the macros of sqlite3ext.h find it
 * in a local variable of that name.
 *
 * An SQL function gets only a context of its SQLite, and must know the copy to ask the context
 * anything. So each copy has functions of its own, which differ in the copy's number.
 */
#ifndef UDFVM_SQLITE_SQLITE_COPIES_H
#define UDFVM_SQLITE_SQLITE_COPIES_H

#include <sqlite3ext.h>
#include <stdbool.h>
#include <stddef.h>

typedef const sqlite3_api_routines sqlite_library;

#define MAX_SQLITE_COPIES 4
extern sqlite_library *sqlite_copies[MAX_SQLITE_COPIES];

int sqlite_copy_number(sqlite_library *library); /* -1: too many copies */

#endif
