/* The buffers of one column, built where the host reads them: validity, offsets (of text and
 * bytes), data, one after the other. It allocates nothing, so the only pages written are those of
 * the reply. */
#ifndef UDFVM_ARROW_BLOCK_H
#define UDFVM_ARROW_BLOCK_H

#include "arrow/storage.h"

struct block {
    enum storage storage;
    uint8_t *output;
    uint64_t capacity;
    int64_t rows, nulls;
    uint64_t validity, offsets, data; /* offsets in the output */
    uint64_t data_bytes;              /* may grow past the capacity: then bytes are only counted */
};

static inline uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* Begins at `start` of the output. The block may use all but the last `reserve` bytes. Returns
 * false if so many rows do not fit, whatever their values. */
bool block_begin(struct block *block, enum storage storage, int64_t rows, uint8_t *output,
                 uint64_t capacity, uint64_t start, uint64_t reserve);
/* Puts a row. Rows come in order, without a gap. Returns false if the column is too large for its
 * offsets. */
bool block_put(struct block *block, int64_t row, const struct scalar *scalar);
/* Puts all rows at once; validity may be NULL. */
void block_put_buffers(struct block *block, int64_t nulls, const void *validity,
                       const void *offsets, const void *data, uint64_t data_bytes);

/* Returns true if a row must be computed: its bit of validity is set. */
static inline bool block_is_valid(const struct block *block, int64_t row)
{
    return bitmap_get(block->output + block->validity, row);
}

/* Returns the offset where the next block may begin. */
static inline uint64_t block_end(const struct block *block)
{
    return block->data + padded(block->data_bytes);
}

/* Returns true if all rows fitted. */
static inline bool block_fits(const struct block *block)
{
    return block_end(block) <= block->capacity;
}

/* Zeroes the bytes behind the data, up to the end. */
void block_pad(const struct block *block);

uint64_t block_validity_bytes(const struct block *block);
uint64_t block_offsets_bytes(const struct block *block);

#endif
