/* A row at a time: see rows.h. */
#include "shared/compiled/rows.h"

#include "shared/compiled/failure.h"

struct row_cell { /* the values that a column of one row points to */
    uint8_t valid, bit;
    int32_t narrow[2];
    int64_t wide[2];
};

void row_begin(void)
{
    ((void (*)(void))UDFVM_VECTOR_ROW)();
}

bool rows_apply(const struct program *program)
{
    if (!program->by_row || !(exchange_call()->flags & UDFVM_CALL_DETERMINISTIC))
        return false;
    for (size_t i = 0; i < program->signature.count; i++)
        /* a batch with nested columns is not cut into rows: it has clocks of its own */
        if (program->nested[i])
            return false;
    return true;
}

static struct column one_row(const struct column *from, int64_t row, struct row_cell *cell)
{
    struct column column = *from;
    const size_t width = storage_width(from->storage);
    column.nulls = column_is_null(from, row);
    if (from->validity) {
        cell->valid = !column.nulls;
        column.validity = &cell->valid;
    }
    if (from->all_null || from->storage == STORAGE_NULL)
        return column;
    if (storage_is_variable(from->storage)) {
        const int64_t begin = column_offset(from, row);
        const int64_t length = column_offset(from, row + 1) - begin;
        const bool narrow = width == sizeof(int32_t);
        cell->narrow[1] = (int32_t)length;
        cell->wide[1] = length;
        column.offsets = narrow ? (const void *)cell->narrow : cell->wide;
        column.data = from->data + begin;
    } else if (width == 0) {
        cell->bit = bitmap_get(from->data, row);
        column.data = &cell->bit;
    } else {
        column.data = from->data + (size_t)row * width;
    }
    return column;
}

/* Returns the value in a block of one row. */
static struct scalar value_of(const struct block *one)
{
    const uint8_t *data = one->output + one->data;
    struct scalar scalar = { .null = !(one->output[one->validity] & 1) };
    if (storage_is_variable(one->storage)) {
        scalar.bytes = (const char *)data;
        scalar.length = one->data_bytes;
    } else if (storage_is_real(one->storage)) {
        scalar.real = stored_real(one->storage, data, 0);
    } else {
        scalar.integer = stored_integer(one->storage, data, 0);
    }
    return scalar;
}

/* The result of a row follows those before it. If it does not fit, the block is too full from then
 * on, and no more rows are computed. */
static bool run_row(const struct program *program, const struct column *columns,
                    struct block *block, int64_t row)
{
    uint64_t small[8];
    struct block one;
    const bool variable = storage_is_variable(block->storage);
    uint8_t *output = variable ? block->output : (uint8_t *)small;
    const uint64_t capacity = variable ? block->capacity : sizeof small;
    const uint64_t start = variable ? block_end(block) : 0;
    const bool fits = block_begin(&one, block->storage, 1, output, capacity, start, 0);
    if (fits && program->run(program->context, columns, &one, 1, false) != 1)
        return false;
    if (!fits || !block_fits(&one)) {
        block->data_bytes = block->capacity + (fits ? one.data_bytes : 0);
        return true;
    }
    const struct scalar scalar = value_of(&one);
    if (block_put(block, row, &scalar))
        return true;
    return failure_set("OverflowError", "the results of this batch are too large for one column");
}

int64_t rows_run(const struct program *program, const struct column *columns, struct block *block,
                 bool skips)
{
    struct column cut[MAX_PARAMETERS];
    struct row_cell cells[MAX_PARAMETERS] = { 0 };
    for (int64_t row = 0; row < block->rows && block_fits(block); row++) {
        if (skips && !block_is_valid(block, row)) {
            block_put(block, row, &(struct scalar){ .length = 0 });
            continue;
        }
        for (size_t i = 0; i < program->signature.count; i++)
            cut[i] = one_row(&columns[i], row, &cells[i]);
        row_begin();
        if (!run_row(program, cut, block, row))
            return row;
    }
    return block->rows;
}

int64_t rows_each(rows_run_one *run_one, void *context, const struct column *columns,
                  struct block *block, int64_t rows, bool skips)
{
    for (int64_t row = 0; row < rows; row++) {
        if (skips && !block_is_valid(block, row))
            block_put(block, row, &(struct scalar){ .length = 0 });
        else if (!run_one(context, columns, block, row))
            return row;
    }
    return rows;
}
