/* A reply that is a column batch, written into the output window column by column. */
#ifndef UDFVM_PYTHON_COLUMN_REPLY_H
#define UDFVM_PYTHON_COLUMN_REPLY_H

#include "python/values.h"

#include "arrow/block.h"

struct batch_writer {
    uint8_t *output;
    uint64_t capacity, end; /* `end` may grow past the capacity: then it is the capacity needed */
};

/* Begins a reply of so many columns. */
struct batch_writer writer_begin(size_t count);
/* Puts the next column: a list of values; a tuple (nulls, validity, offsets, data) of buffers, of
 * the storage of the slot; or the bytes of a stream. Returns 0; -1 with an exception, and in
 * *failed the row where it is known. */
int writer_put_column(struct batch_writer *writer, size_t index, const struct value_slot *slot,
                      PyObject *column, int64_t rows, Py_ssize_t *failed);
/* Puts a column whose block was filled. */
void writer_close_block(struct batch_writer *writer, size_t index, const struct block *block);
/* Returns the length of the reply. Where it is more than the capacity, the reply is not whole. */
uint64_t writer_finish(const struct batch_writer *writer, size_t count, int64_t rows,
                       uint32_t flags);

#endif
