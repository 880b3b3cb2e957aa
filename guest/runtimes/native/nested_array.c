/* See nested_array.h. */
#include "native/nested_array.h"

#include "arrow/stream_format.h"
#include "shared/compiled/failure.h"
#include "utf8.h"

/* ---- Arguments ---- */

static const void **new_buffers(size_t count, void *(*allocate)(size_t size))
{
    const void **buffers = (const void **)allocate((count + 1) * sizeof *buffers);
    memset(buffers, 0, (count + 1) * sizeof *buffers);
    return buffers;
}

static void give_children(struct ArrowArray *array, size_t count, void *(*allocate)(size_t size))
{
    if (count == 0)
        return;
    array->n_children = (int64_t)count;
    array->children = allocate(count * sizeof *array->children);
    for (size_t i = 0; i < count; i++)
        array->children[i] = allocate(sizeof *array->children[i]);
}

struct ArrowArray array_of(const struct column *column, int64_t rows,
                           void *(*allocate)(size_t size))
{
    const unsigned count = storage_buffers(column->storage);
    struct ArrowArray array = { .length = rows,
                                .null_count = column->nulls,
                                .n_buffers = count,
                                .buffers = new_buffers(count, allocate) };
    array.buffers[0] = column->validity;
    if (storage_has_offsets(column->storage))
        array.buffers[1] = column->offsets;
    if (storage_is_variable(column->storage))
        array.buffers[2] = column->data;
    else if (!storage_is_nested(column->storage))
        array.buffers[1] = column->data;
    give_children(&array, column->child_count, allocate);
    for (size_t i = 0; i < column->child_count; i++)
        *array.children[i] = array_of(
            &column->children[i], column->storage == STORAGE_LIST ? column->children[i].rows : rows,
            allocate);
    return array;
}

/* ---- Results ---- */

static enum storage storage_of(const struct udfvm_type *described)
{
    return (enum storage)(described->storage & 0xff);
}

struct ArrowArray array_prepare(const struct udfvm_type *described, int64_t rows,
                                void *(*allocate)(size_t size))
{
    const unsigned count = storage_buffers(storage_of(described));
    struct ArrowArray array = { .length = rows,
                                .n_buffers = count,
                                .buffers = new_buffers(count, allocate) };
    give_children(&array, described->count, allocate);
    for (size_t i = 0; i < described->count; i++)
        *array.children[i] = array_prepare(
            described->fields[i].type, storage_of(described) == STORAGE_LIST ? 0 : rows, allocate);
    return array;
}

/* Returns the number of items, or bytes, that the offsets lead to; -1 if they go back. */
static int64_t last_offset(const int32_t *offsets, int64_t rows)
{
    if (offsets[0] < 0)
        return -1;
    for (int64_t row = 0; row < rows; row++)
        if (offsets[row + 1] < offsets[row])
            return -1;
    return offsets[rows];
}

static bool take_offsets(const struct ArrowArray *array, const char *name, int64_t rows,
                         struct column *column)
{
    static const int32_t none[1]; /* the offset of no rows may be missing, or be any */
    column->offsets = rows == 0 ? none : array->buffers[1];
    if (!column->offsets)
        return failure_set("RuntimeError", "the function's result has no offsets in %s", name);
    const int64_t end = last_offset(column->offsets, rows);
    const bool list = column->storage == STORAGE_LIST;
    if (end < 0)
        return failure_set("RuntimeError", "the function's result has offsets that fall in %s",
                           name);
    if (list ? end > column->children->rows : end > 0 && !array->buffers[2])
        return failure_set("RuntimeError",
                           "the function's result has offsets to %lld in %s, which has %lld %s",
                           (long long)end, name, list ? (long long)column->children->rows : 0ll,
                           list ? "items" : "bytes");
    return true;
}

static bool take_bytes(const struct ArrowArray *array, const char *name, int64_t rows,
                       struct column *column)
{
    if (!take_offsets(array, name, rows, column))
        return false;
    column->data = array->buffers[2];
    for (int64_t row = 0; storage_is_text(column->storage) && row < rows; row++) {
        const struct scalar text = column_bytes(column, row);
        if (text.length && !column_is_null(column, row) && !utf8_is_valid(text.bytes, text.length))
            return failure_set("RuntimeError",
                               "the function returned text that is not valid UTF-8, in row %lld of "
                               "%s",
                               (long long)row, name);
    }
    return true;
}

static bool has_parts(const struct udfvm_type *described, const struct ArrowArray *array,
                      int64_t rows)
{
    bool has = array && array->length >= rows && array->offset == 0 && array->buffers &&
               array->n_buffers == storage_buffers(storage_of(described)) &&
               array->n_children == described->count && (array->children || !described->count);
    for (size_t i = 0; has && i < described->count; i++)
        has = array->children[i] != NULL;
    return has;
}

static bool take_children(const struct udfvm_type *described, const struct ArrowArray *array,
                          int64_t rows, struct column *column)
{
    for (size_t i = 0; i < described->count; i++) {
        const struct ArrowArray *child = array->children[i];
        const int64_t needed = column->storage == STORAGE_STRUCT ? rows
                               : child->length < 0               ? 0
                                                                 : child->length;
        if (!array_take(described->fields[i].type, child, described->fields[i].name, needed,
                        &column->children[i]))
            return false;
    }
    return true;
}

static bool wrong_parts(const struct udfvm_type *described, const struct ArrowArray *array,
                        const char *name, int64_t rows)
{
    static const struct ArrowArray none;
    const struct ArrowArray *got = array ? array : &none;
    return failure_set(
        "RuntimeError",
        "the function's result has, in %s, length %lld, offset %lld, %lld buffers, %lld children "
        "where length %lld, offset 0, %u buffers, %u children are expected",
        name, (long long)got->length, (long long)got->offset, (long long)got->n_buffers,
        (long long)got->n_children, (long long)rows, storage_buffers(storage_of(described)),
        described->count);
}

bool array_take(const struct udfvm_type *described, const struct ArrowArray *array,
                const char *name, int64_t rows, struct column *column)
{
    const enum storage storage = storage_of(described);
    if (!has_parts(described, array, rows))
        return wrong_parts(described, array, name, rows);
    column->validity = array->buffers[0];
    column->rows = rows;
    column->nulls = column->validity ? bitmap_count_clear(column->validity, rows) : 0;
    if (!take_children(described, array, rows, column))
        return false;
    if (storage == STORAGE_LIST)
        return take_offsets(array, name, rows, column);
    if (storage_is_variable(storage))
        return take_bytes(array, name, rows, column);
    column->data = storage == STORAGE_STRUCT ? NULL : array->buffers[1];
    if (storage == STORAGE_STRUCT || rows == 0 || column->data)
        return true;
    return failure_set("RuntimeError", "the function's result has no data in %s", name);
}
