/* Batches as struct udfvm_columns: those of SQL, whose integers, floats and offsets have 64 bits
 * whatever the function's have. */
#ifndef UDFVM_COMPILED_COLUMN_BATCH_H
#define UDFVM_COMPILED_COLUMN_BATCH_H

#include "shared/compiled/program.h"

/* The arguments of a request, stored as the function takes them. */
struct arguments {
    int64_t rows;
    struct column columns[MAX_PARAMETERS];
    void *made[MAX_PARAMETERS]; /* what had to be stored otherwise than it came */
};

/* Reads the request; arguments_free() in any case. false with a failure, at *row; -1 where that is
 * not known. */
bool arguments_take(struct arguments *arguments, const struct program *program,
                    const uint8_t *payload, uint64_t length, int64_t *row);
void arguments_free(struct arguments *arguments);

/* A reply of one column. false: there is no room for so many rows, whatever their values;
 * results_end() says how much is needed. */
bool results_begin(struct block *block, enum storage storage, int64_t rows, uint8_t *output,
                   uint64_t capacity);
/* Length of the reply; where that is more than the capacity, there is none. */
uint64_t results_end(const struct block *block);

#endif
