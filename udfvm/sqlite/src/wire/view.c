/* A guest's reply in columns: see view.h. */
#include "wire/view.h"

#include "column_format.h"
#include "utf8.h"
#include "connection/times.h"

#include <stdlib.h>
#include <string.h>

static int64_t offset_at(const struct view_column *column, uint64_t index)
{
    int64_t offset;
    memcpy(&offset, column->offsets + index * sizeof offset, sizeof offset);
    return offset;
}

static bool offsets_valid(const struct view_column *column, uint64_t rows, uint64_t data_length)
{
    int64_t before = offset_at(column, 0);
    if (before < 0)
        return false;
    for (uint64_t row = 1; row <= rows; row++) {
        const int64_t offset = offset_at(column, row);
        if (offset < before)
            return false;
        before = offset;
    }
    return (uint64_t)before <= data_length;
}

static const char *open_column(struct view_column *column, const struct udfvm_column *head,
                               uint32_t type, const uint8_t *base, uint64_t length, uint64_t rows)
{
    *column = (struct view_column){ .type = head->type };
    if (head->type == UDFVM_TYPE_NULL)
        return NULL;
    if (head->type != type)
        return "not of the declared type";
    if (!udfvm_column_inside(head, rows, length))
        return "a column lies outside of the reply";
    column->validity = head->validity ? base + head->validity : NULL;
    column->offsets = udfvm_type_is_variable(type) ? base + head->offsets : NULL;
    column->data = base + head->data;
    return !udfvm_type_is_variable(type) || offsets_valid(column, rows, head->data_length)
               ? NULL
               : "offsets that decrease, or lie outside the data";
}

const char *view_open(struct column_view *view, const struct udfvm_reply *reply,
                      const uint32_t *types, size_t count, uint64_t max_rows)
{
    struct udfvm_columns head;
    const uint8_t *base = reply->data;
    *view = (struct column_view){ .count = count };
    if (reply->length < sizeof head)
        return "too short";
    memcpy(&head, base, sizeof head);
    if (head.count != count || head.flags & ~UDFVM_COLUMNS_MORE)
        return "not of the declared columns";
    if (head.rows > max_rows || head.rows >= UDFVM_MAX_ROWS)
        return "more rows than there can be";
    if (!udfvm_inside(sizeof head, count * sizeof(struct udfvm_column), reply->length))
        return "too short";
    view->columns = calloc(count + 1, sizeof *view->columns);
    if (!view->columns)
        return "out of memory";
    view->rows = head.rows;
    view->more = head.flags & UDFVM_COLUMNS_MORE;
    for (size_t i = 0; i < count; i++) {
        struct udfvm_column column;
        memcpy(&column, base + sizeof head + i * sizeof column, sizeof column);
        const char *wrong = open_column(&view->columns[i], &column, types[i], base, reply->length,
                                        head.rows);
        if (wrong)
            return wrong;
    }
    return NULL;
}

void view_close(struct column_view *view)
{
    free(view->columns);
    *view = (struct column_view){ 0 };
}

bool view_is_null(const struct column_view *view, size_t index, uint64_t row)
{
    const struct view_column *column = &view->columns[index];
    return column->type == UDFVM_TYPE_NULL ||
           (column->validity && !(column->validity[row / 8] >> (row % 8) & 1));
}

int64_t view_integer(const struct column_view *view, size_t index, uint64_t row)
{
    int64_t integer;
    memcpy(&integer, view->columns[index].data + row * sizeof integer, sizeof integer);
    return integer;
}

const char *view_result(const struct column_view *view, size_t index, uint64_t row,
                        const struct udfvm_sqlite_times *times, sqlite_library *library,
                        sqlite3_context *context)
{
    sqlite_library *sqlite3_api = library;
    const struct view_column *column = &view->columns[index];
    if (view_is_null(view, index, row)) {
        sqlite3_result_null(context);
        return NULL;
    }
    double real;
    switch (column->type) {
    case UDFVM_TYPE_INT64:
        return times_result_count(times, view_integer(view, index, row), library, context);
    case UDFVM_TYPE_FLOAT64:
        memcpy(&real, column->data + row * sizeof real, sizeof real);
        sqlite3_result_double(context, real); /* NaN becomes NULL: SQL has no NaN */
        return NULL;
    case UDFVM_TYPE_BOOL:
        sqlite3_result_int64(context, column->data[row / 8] >> (row % 8) & 1);
        return NULL;
    default:
        break;
    }
    const uint64_t begin = (uint64_t)offset_at(column, row),
                   end = (uint64_t)offset_at(column, row + 1);
    const uint8_t *bytes = column->data + begin;
    if (column->type == UDFVM_TYPE_BLOB)
        sqlite3_result_blob64(context, bytes, end - begin, SQLITE_TRANSIENT);
    else if (utf8_is_valid(bytes, end - begin))
        return times_result_text(times, bytes, end - begin, library, context);
    else
        return "TEXT that is not valid UTF-8";
    return NULL;
}
