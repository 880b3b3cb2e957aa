/* Dates and times that are TEXT in SQL and counts in the guest, or the other way round (struct
 * udfvm_sqlite_times). */
#ifndef UDFVM_SQLITE_TIMES_H
#define UDFVM_SQLITE_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection/sqlite_copies.h"
#include "extension.h"

enum { TIMES_TEXT = 48 }; /* the longest text and its end */

/* Returns true if a function's values of a type (UDFVM_TYPE_x) can be in SQL in this form. */
bool times_valid(const struct udfvm_sqlite_times *times, uint32_t type);
/* Returns the type that the values have in SQL. */
uint32_t times_sql_type(const struct udfvm_sqlite_times *times, uint32_t type);
/* Returns what SQL must pass, for errors. */
const char *times_expected(const struct udfvm_sqlite_times *times);

/* Writes a count as text. Returns the text's length, or 0 for a count that text does not represent:
 * beyond the years 0 to 9999, or no time of a day. */
size_t times_write(const struct udfvm_sqlite_times *times, int64_t count, char text[TIMES_TEXT]);
/* Reads a text as a count. Returns false if it is not one, or has more digits than the count. */
bool times_read(const struct udfvm_sqlite_times *times, const char *text, size_t length,
                int64_t *count);

/* Set a function's value as an SQL result. They return NULL, or what is wrong with the value. */
const char *times_result_count(const struct udfvm_sqlite_times *times, int64_t count,
                               sqlite_library *library, sqlite3_context *context);
const char *times_result_text(const struct udfvm_sqlite_times *times, const void *text,
                              size_t length, sqlite_library *library, sqlite3_context *context);

#endif
