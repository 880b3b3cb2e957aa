/* Columns, with nested columns, to which values are appended. */
#ifndef UDFVM_COMPILED_BUILDER_H
#define UDFVM_COMPILED_BUILDER_H

#include "shared/compiled/bytes.h"
#include "shared/compiled/type.h"

struct builder {
    const struct type *type;
    struct builder *children;
    struct bytes validity, offsets, data;
    int64_t rows, nulls;
};

struct builder builder_new(const struct type *type);
/* Empties the builder, and keeps much of its memory. */
void builder_clear(struct builder *builder);
void builder_free(struct builder *builder);

/* Appends a null. A null struct has null fields. */
void builder_null(struct builder *builder);
/* Appends a value of a fixed width, as it is stored; a bool is a byte. */
void builder_number(struct builder *builder, const void *value);
/* Appends such values, of a type that is no bool. */
void builder_numbers(struct builder *builder, const void *values, size_t count);
/* Appends text or bytes. Returns false if the column is too large for its offsets. */
bool builder_bytes(struct builder *builder, const void *bytes, size_t length);
/* Append a struct, whose fields the caller then appends to its children, or a list, whose items
 * the caller has appended to its child. */
void builder_struct(struct builder *builder);
bool builder_list(struct builder *builder);

/* Appends a row of a column of the builder's type. Returns false if the column is too large for its
 * offsets. */
bool builder_append(struct builder *builder, const struct column *column, int64_t row);

/* Returns the column, valid until the next append. type_column() made `column`. */
void builder_column(const struct builder *builder, struct column *column);

#endif
