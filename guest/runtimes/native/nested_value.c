/* See nested_value.h. */
#include "native/nested_value.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "utf8.h"

struct list { /* udfvm_list_TYPE of udfvm.h */
    const uint8_t *data;
    size_t length;
};

static enum storage storage_of(const struct udfvm_type *described)
{
    return (enum storage)(described->storage & 0xff);
}

static bool is_optional(const struct udfvm_type *described)
{
    return described->storage & UDFVM_OPTIONAL;
}

bool nested_is_plain(const struct udfvm_type *described)
{
    return described->storage > STORAGE_BOOL && described->storage <= STORAGE_FLOAT64;
}

/* ---- Types ---- */

static bool set_type(const struct udfvm_type *described, struct type *type, unsigned depth)
{
    type->storage = storage_of(described);
    if (!storage_is_nested(type->storage))
        return type->storage < STORAGE_NULL && type->storage != STORAGE_TEXT64 &&
               type->storage != STORAGE_BYTES64;
    if (depth == MAX_TYPE_DEPTH || described->count == 0)
        return false;
    type_give_children(type, type->storage, described->count);
    for (size_t i = 0; i < type->count; i++) {
        const struct udfvm_field *field = &described->fields[i];
        if (type->storage == STORAGE_STRUCT)
            type_give_name(&type->children[i], field->name, strlen(field->name));
        if (!set_type(field->type, &type->children[i], depth + 1))
            return false;
    }
    return true;
}

struct type *nested_type(const struct udfvm_type *described, const char *what)
{
    struct type *type = calloc(1, sizeof *type);
    if (!type)
        abort();
    if (set_type(described, type, 0))
        return type;
    type_delete(type);
    failure_set("TypeError", "%s is of a type that does not exist, or has more than %d levels",
                what, MAX_TYPE_DEPTH);
    return NULL;
}

/* ---- Arguments ---- */

static int32_t list_begin(const struct column *column, int64_t row)
{
    return ((const int32_t *)column->offsets)[row];
}

static void read_list(const struct udfvm_type *described, const struct column *column, int64_t row,
                      struct list *list, void *(*allocate)(size_t size))
{
    const struct udfvm_type *item = described->fields->type;
    const struct column *items = column->children;
    const int32_t begin = list_begin(column, row);
    list->length = (size_t)(list_begin(column, row + 1) - begin);
    if (nested_is_plain(item)) {
        list->data = items->data + (size_t)begin * item->size;
        return;
    }
    uint8_t *made = list->length ? allocate(list->length * item->size) : NULL;
    for (size_t i = 0; i < list->length; i++)
        nested_read(item, items, begin + (int64_t)i, made + i * item->size, allocate);
    list->data = made;
}

void nested_read(const struct udfvm_type *described, const struct column *column, int64_t row,
                 void *to, void *(*allocate)(size_t size))
{
    uint8_t *const at = (uint8_t *)to + described->value;
    const enum storage storage = storage_of(described);
    const size_t width = storage_width(storage);
    if (is_optional(described)) {
        memset(to, 0, described->size);
        if (column_is_null(column, row))
            return;
        *(bool *)to = true;
    }
    if (storage == STORAGE_LIST) {
        read_list(described, column, row, (struct list *)at, allocate);
    } else if (storage == STORAGE_STRUCT) {
        for (size_t i = 0; i < described->count; i++)
            nested_read(described->fields[i].type, &column->children[i], row,
                        at + described->fields[i].offset, allocate);
    } else if (storage_is_variable(storage)) {
        const struct scalar bytes = column_bytes(column, row);
        *(struct udfvm_bytes *)at = (struct udfvm_bytes){ bytes.bytes, bytes.length };
    } else if (storage == STORAGE_BOOL) {
        *(bool *)at = bitmap_get(column->data, row);
    } else {
        memcpy(at, column->data + (size_t)row * width, width);
    }
}

/* ---- Nulls where a type takes none ---- */

/* Returns true if there may be such a null. Nearly always there is none, and no row is read. */
static bool may_have_wrong_null(const struct udfvm_type *described, const struct column *column)
{
    if (!is_optional(described) && (column->all_null || column->validity))
        return true;
    for (size_t i = 0; i < described->count; i++)
        if (may_have_wrong_null(described->fields[i].type, &column->children[i]))
            return true;
    return false;
}

static bool has_wrong_null(const struct udfvm_type *described, const struct column *column,
                           int64_t row, const char **field)
{
    if (column_is_null(column, row))
        return !is_optional(described);
    const bool list = storage_of(described) == STORAGE_LIST;
    for (size_t i = 0; i < described->count; i++) {
        const int64_t begin = list ? list_begin(column, row) : row;
        const int64_t end = list ? list_begin(column, row + 1) : row + 1;
        for (int64_t each = begin; each < end; each++) {
            *field = list ? "an item" : described->fields[i].name;
            if (has_wrong_null(described->fields[i].type, &column->children[i], each, field))
                return true;
        }
    }
    return false;
}

int64_t nested_wrong_null(const struct udfvm_type *described, const struct column *column,
                          int64_t first, int64_t end, const uint8_t *valid, const char **field)
{
    if (!may_have_wrong_null(described, column))
        return end;
    for (int64_t row = first; row < end; row++)
        if ((!valid || bitmap_get(valid, row)) && has_wrong_null(described, column, row, field))
            return row;
    return end;
}

/* ---- Results ---- */

static bool no_data(const char *what, size_t length)
{
    return failure_set("RuntimeError", "the function returned a %s of length %zu without data",
                       what, length);
}

static bool too_large(void)
{
    return failure_set("RuntimeError", "the results of this batch are too large for one column");
}

static bool append_bytes(const struct udfvm_bytes *bytes, struct builder *builder)
{
    const bool text = storage_is_text(builder->type->storage);
    if (bytes->length > 0 && !bytes->data)
        return no_data(text ? "text" : "blob", bytes->length);
    if (bytes->length > INT32_MAX)
        return too_large();
    if (text && !utf8_is_valid(bytes->data, bytes->length))
        return failure_set("RuntimeError", "the function returned text that is not valid UTF-8");
    return builder_bytes(builder, bytes->data, bytes->length) || too_large();
}

static bool append_list(const struct udfvm_type *described, const struct list *list,
                        struct builder *builder)
{
    const struct udfvm_type *item = described->fields->type;
    if (list->length > 0 && !list->data)
        return no_data("list", list->length);
    if (list->length > (size_t)(INT32_MAX - builder->children->rows))
        return too_large();
    if (nested_is_plain(item))
        builder_numbers(builder->children, list->data, list->length);
    for (size_t i = 0; !nested_is_plain(item) && i < list->length; i++)
        if (!nested_append(item, list->data + i * item->size, builder->children))
            return false;
    return builder_list(builder) || too_large();
}

bool nested_append(const struct udfvm_type *described, const void *value, struct builder *builder)
{
    const uint8_t *at = (const uint8_t *)value + described->value;
    const enum storage storage = storage_of(described);
    if (is_optional(described) && !*(const bool *)value) {
        builder_null(builder);
        return true;
    }
    if (storage == STORAGE_LIST)
        return append_list(described, (const struct list *)at, builder);
    if (storage_is_variable(storage))
        return append_bytes((const struct udfvm_bytes *)at, builder);
    if (storage != STORAGE_STRUCT) {
        builder_number(builder, at);
        return true;
    }
    builder_struct(builder);
    for (size_t i = 0; i < described->count; i++)
        if (!nested_append(described->fields[i].type, at + described->fields[i].offset,
                           &builder->children[i]))
            return false;
    return true;
}
