/* Single rows: arguments into the input window, a reply out of the output window. */
#ifndef UDFVM_SQLITE_ROW_H
#define UDFVM_SQLITE_ROW_H

#include "statement/session.h"
#include "connection/times.h"

#define JSON_SUBTYPE \
    74u /* the subtype of text that SQLite's JSON functions make and take as JSON */
enum row_check { ROW_CALL, ROW_NULL, ROW_BAD };
/* Checks arguments. ROW_CALL: `integers` has those that the function takes as INT64 or BOOL.
 * ROW_BAD: with *wrong. */
enum row_check row_check(const struct session *session, sqlite3_value **arguments,
                         int64_t integers[MAX_PARAMETERS], char **wrong);
/* A row as struct udfvm_row: short ones here, for the core to copy; longer ones in the input
 * window. */
struct row_request {
    uint8_t *bytes;
    uint64_t length;
    uint64_t here[UDFVM_MAX_SHORT / sizeof(uint64_t)];
};
/* Takes arguments, and integers, that were checked. Returns false with the SQL error set. */
bool row_encode(const struct session *session, sqlite3_context *context, sqlite3_value **arguments,
                const int64_t integers[MAX_PARAMETERS], struct row_request *request);
/* Returns what to send: NULL if it is in the window. */
static inline const void *row_input(const struct row_request *request)
{
    return request->bytes == (const uint8_t *)request->here ? request->here : NULL;
}
void row_decode(const struct session *session, sqlite3_context *context,
                const struct udfvm_reply *reply);
/* Checks one argument, by its index. ROW_NULL stands for any NULL. */
enum row_check value_check(const struct session *session, uint32_t index, sqlite3_value *value,
                           int64_t *integer, char **wrong);
/* Returns the error about a value of another type than the parameter's: see wrong_type.c. */
char *describe_wrong_type(const struct session *session, uint32_t index, sqlite3_value *value);
/* Returns the bytes of an argument: BLOB, or TEXT, which is checked, or made in `text`. Returns
 * SQLITE_OK, SQLITE_NOMEM, or SQLITE_ERROR with *wrong. */
int value_bytes(const struct session *session, uint32_t index, sqlite3_value *value,
                char text[TIMES_TEXT], const void **bytes, size_t *length, char **wrong);

#endif
