/* Lists and structs: between Arrow's columns and the C structs that udfvm.h declares for them. */
#ifndef UDFVM_NATIVE_NESTED_VALUE_H
#define UDFVM_NATIVE_NESTED_VALUE_H

#include "native/udfvm.h"
#include "shared/compiled/builder.h"

/* Makes the type that a description has. Returns NULL with a failure if none has it. */
struct type *nested_type(const struct udfvm_type *described, const char *what);

/* Reads a row that has no null where its type takes none. What lists point to lies in the column,
 * or in memory of `allocate`. */
void nested_read(const struct udfvm_type *described, const struct column *column, int64_t row,
                 void *to, void *(*allocate)(size_t size));
/* Appends a value. Returns false with a failure if it cannot be stored. */
bool nested_append(const struct udfvm_type *described, const void *value, struct builder *builder);

/* Returns the first row, from `first` on, with a null where its type takes none, and in *field the
 * name of what is null there; `end` if there is none. Rows whose bit in `valid` is clear are not
 * looked at; NULL: all are. */
int64_t nested_wrong_null(const struct udfvm_type *described, const struct column *column,
                          int64_t first, int64_t end, const uint8_t *valid, const char **field);

/* Returns true for a number that lists hold as columns do. */
bool nested_is_plain(const struct udfvm_type *described);

#endif
