/* Columns as arrays of the Arrow C Data Interface, for functions of whole columns. */
#ifndef UDFVM_NATIVE_NESTED_ARRAY_H
#define UDFVM_NATIVE_NESTED_ARRAY_H

#include "arrow/storage.h"
#include "native/udfvm.h"

/* Describes a column, with nested columns. The parts lie in memory of `allocate`. */
struct ArrowArray array_of(const struct column *column, int64_t rows,
                           void *(*allocate)(size_t size));

/* Makes the array that a function fills with lists or structs: nested arrays and places for
 * buffers. Those of a struct have as many rows as it has, others none. */
struct ArrowArray array_prepare(const struct udfvm_type *described, int64_t rows,
                                void *(*allocate)(size_t size));
/* Reads such an array, of `rows` rows at least, into a column of type_column(). Returns false with
 * a failure if it is not valid. */
bool array_take(const struct udfvm_type *described, const struct ArrowArray *array,
                const char *name, int64_t rows, struct column *column);

#endif
