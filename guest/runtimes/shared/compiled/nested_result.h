/* Results that are structs or lists: columns in batches, JSON text in rows and in struct
 * udfvm_columns. */
#ifndef UDFVM_COMPILED_NESTED_RESULT_H
#define UDFVM_COMPILED_NESTED_RESULT_H

#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

/* Runs the program and writes its reply to a batch. If *length is more than the capacity,
 * nothing was written. Returns false with a failure, at *row; -1 if the row is not known. */
bool nested_result_batch(const struct program *program, const struct column *columns, int64_t rows,
                         uint8_t *output, uint64_t capacity, uint64_t *length, int64_t *row);
/* Runs the program and puts its results into a block of text. Returns false with a failure, at
 * *row. */
bool nested_result_texts(const struct program *program, const struct column *columns,
                         struct block *block, int64_t *row);

/* Writes a column as a stream. Returns its length; if that is more than the capacity, nothing was
 * written. */
uint64_t nested_result_write(const struct stream_format *format, const struct column *column,
                             int64_t rows, uint8_t *output, uint64_t capacity);

/* Returns true if the reply's head, which pyarrow wrote, is that of such a result. */
bool nested_result_fits(const struct stream_format *format, const struct type *type);

#endif
