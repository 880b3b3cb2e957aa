/* The buffers of one column: see block.h. */
#include "arrow/block.h"

#include <string.h>

uint64_t block_validity_bytes(const struct block *block)
{
    return block->storage == STORAGE_NULL ? 0 : bitmap_bytes(block->rows);
}

uint64_t block_offsets_bytes(const struct block *block)
{
    return storage_is_variable(block->storage)
               ? ((uint64_t)block->rows + 1) * storage_width(block->storage)
               : 0;
}

static uint64_t fixed_data_bytes(const struct block *block)
{
    if (storage_is_variable(block->storage) || block->storage == STORAGE_NULL)
        return 0;
    uint64_t width = storage_width(block->storage);
    return width ? (uint64_t)block->rows * width : block_validity_bytes(block);
}

void block_pad(const struct block *block)
{
    memset(block->output + block->data + block->data_bytes, 0,
           padded(block->data_bytes) - block->data_bytes);
}

/* Of whole words, often of one. */
static void fill(uint8_t *to, uint64_t word, uint64_t bytes)
{
    for (uint64_t done = 0; done < padded(bytes); done += sizeof word)
        memcpy(to + done, &word, sizeof word);
}

bool block_begin(struct block *block, enum storage storage, int64_t rows, uint8_t *output,
                 uint64_t capacity, uint64_t start, uint64_t reserve)
{
    *block = (struct block){ .storage = storage,
                             .output = output,
                             .capacity = capacity < reserve ? 0 : capacity - reserve,
                             .rows = rows };
    block->validity = start;
    block->offsets = block->validity + padded(block_validity_bytes(block));
    block->data = block->offsets + padded(block_offsets_bytes(block));
    block->data_bytes = fixed_data_bytes(block);
    if (!block_fits(block))
        return false;
    fill(output + block->validity, UINT64_MAX, block_validity_bytes(block));
    fill(output + block->offsets, 0, block_offsets_bytes(block));
    if (storage_width(storage) == 0) /* bits are only set, never cleared */
        fill(output + block->data, 0, block->data_bytes);
    return true;
}

static bool put_bytes(struct block *block, int64_t row, const struct scalar *scalar)
{
    const bool narrow = storage_width(block->storage) == sizeof(int32_t);
    const uint64_t length = (uint64_t)scalar->length, begin = block->data_bytes;
    if (length > (narrow ? INT32_MAX : INT64_MAX / 4) - begin)
        return false;
    block->data_bytes += length;
    if (block_fits(block) && length > 0)
        memmove(block->output + block->data + begin, scalar->bytes,
                length); /* the source may be a later part of the output */
    if (narrow)
        ((int32_t *)(block->output + block->offsets))[row + 1] = (int32_t)block->data_bytes;
    else
        ((int64_t *)(block->output + block->offsets))[row + 1] = (int64_t)block->data_bytes;
    return true;
}

static void put_number(struct block *block, int64_t row, const struct scalar *scalar)
{
    uint8_t *data = block->output + block->data;
    switch (block->storage) {
    case STORAGE_NULL:
        break;
    case STORAGE_BOOL:
        data[row >> 3] |= (uint8_t)(scalar->integer << (row & 7));
        break;
    case STORAGE_FLOAT32:
        ((float *)data)[row] = (float)scalar->real;
        break;
    case STORAGE_FLOAT64:
        ((double *)data)[row] = scalar->real;
        break;
    default: { /* little endian: a narrow integer is the beginning of a wide one */
        const size_t width = storage_width(block->storage);
        memcpy(data + (size_t)row * width, &scalar->integer, width);
        break;
    }
    }
}

bool block_put(struct block *block, int64_t row, const struct scalar *scalar)
{
    if (scalar->null) {
        block->nulls++;
        if (block->storage != STORAGE_NULL)
            block->output[block->validity + (uint64_t)(row >> 3)] &= (uint8_t)~(1u << (row & 7));
    }
    if (storage_is_variable(block->storage))
        return put_bytes(block, row, scalar);
    put_number(block, row, scalar);
    return true;
}

void block_put_buffers(struct block *block, int64_t nulls, const void *validity,
                       const void *offsets, const void *data, uint64_t data_bytes)
{
    if (storage_is_variable(block->storage))
        block->data_bytes = data_bytes;
    if (!block_fits(block))
        return;
    block->nulls = nulls;
    if (nulls && validity)
        memcpy(block->output + block->validity, validity, block_validity_bytes(block));
    if (offsets)
        memcpy(block->output + block->offsets, offsets, block_offsets_bytes(block));
    if (data && block->data_bytes)
        memcpy(block->output + block->data, data, block->data_bytes);
}
