/* Column batches (struct udfvm_columns), as SQL sends them: integers, floats and offsets have 64
 * bits, whatever the function's have. */
#ifndef UDFVM_COMPILED_COLUMN_BATCH_H
#define UDFVM_COMPILED_COLUMN_BATCH_H

#include "arrow/column_batch.h"
#include "shared/compiled/program.h"

/* The arguments of a request, stored as the function takes them. */
struct arguments {
    int64_t rows;
    struct column_request request;
    struct column columns[MAX_PARAMETERS];
    void *made[MAX_PARAMETERS]; /* columns that were converted; arguments_free() frees them */
};

/* Reads the request, whose first `leading` columns are no arguments. Call arguments_free() in any
 * case. Returns false with a failure, at *row; -1 if that is not known. */
bool arguments_take(struct arguments *arguments, const struct program *program,
                    const uint8_t *payload, uint64_t length, size_t leading, int64_t *row);
void arguments_free(struct arguments *arguments);

/* Begins a reply of one column. Returns false if so many rows do not fit, whatever their values;
 * results_end() returns the capacity needed. */
bool results_begin(struct block *block, enum storage storage, int64_t rows, uint8_t *output,
                   uint64_t capacity);
/* Returns the length of the reply. If it is more than the capacity, nothing was written. */
uint64_t results_end(const struct block *block);

#endif
