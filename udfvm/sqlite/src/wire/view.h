/* A guest's reply in columns (struct udfvm_columns). It is hostile input: it is checked once as a
 * whole, then read row by row. */
#ifndef UDFVM_SQLITE_VIEW_H
#define UDFVM_SQLITE_VIEW_H

#include "connection/sqlite_copies.h"
#include "extension.h"
#include "udfvm_abi.h"

struct view_column {
    uint32_t type;           /* UDFVM_TYPE_NULL: every row is null */
    const uint8_t *validity; /* NULL: no nulls */
    const uint8_t *offsets, *data;
};

struct column_view {
    uint64_t rows;
    bool more;
    size_t count;
    struct view_column *columns;
};

/* Checks a reply that must have columns of these types and at most `max_rows` rows, and views it.
 * The reply must not change. Returns NULL, or what is wrong. */
const char *view_open(struct column_view *view, const struct udfvm_reply *reply,
                      const uint32_t *types, size_t count, uint64_t max_rows);
void view_close(struct column_view *view);

bool view_is_null(const struct column_view *view, size_t column, uint64_t row);
int64_t view_integer(const struct column_view *view, size_t column,
                     uint64_t row); /* INT64, not null */
/* Sets the value as the result of an SQL function or column. Returns NULL, or what is wrong with
 * it. */
const char *view_result(const struct column_view *view, size_t column, uint64_t row,
                        const struct udfvm_sqlite_times *times, sqlite_library *library,
                        sqlite3_context *context);

#endif
