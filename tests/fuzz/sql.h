/* Connections of SQLite with the extension, on guests that do what the input of a fuzzer says. */
#ifndef FUZZ_SQL_H
#define FUZZ_SQL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "guest.h"

/* The scalar functions on offer, each with one parameter: a result of each type of SQL, then those
 * whose dates and times SQL has in another form. Besides them there are the table function `t` and
 * the aggregate `a`. */
extern const char *const sql_functions[];
#define SQL_FUNCTIONS 9u
/* Others, each with one parameter of another type and a result of INTEGER; the last with a default,
 * too. */
extern const char *const sql_takers[];
#define SQL_TAKERS 8u

/* What a program offers, or (false) nothing, as in the shell. */
sqlite3 *sql_open(bool offers);
sqlite3_stmt *sql_prepare(sqlite3 *connection, const char *text);
/* Binds bytes as TEXT, or as what the first of them says. */
void sql_bind(sqlite3_stmt *statement, int index, const uint8_t *bytes, size_t length);
/* Steps to the end, or so many rows, reads all that there is, and resets. */
void sql_run(sqlite3_stmt *statement, unsigned rows);

/* The library, as extensions get it. */
const struct sqlite3_api_routines *sql_library(void);

/* Files of the images that the functions run on. */
struct sql_images {
    int base, layer;
};
struct sql_images sql_image_files(void);

#endif
