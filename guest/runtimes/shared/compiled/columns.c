/* Batches as struct udfvm_columns: see columns.h. */
#include "shared/compiled/columns.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/nested_argument.h"

#define HEAD (sizeof(struct udfvm_columns) + sizeof(struct udfvm_column))

/* ---- Arguments ---- */

static bool inside(uint64_t place, uint64_t bytes, uint64_t length)
{
    return place <= length && bytes <= length - place;
}

static void *allocate(size_t size)
{
    void *made = calloc(1, size);
    if (!made)
        abort();
    return made;
}

/* Every row null: zeros serve as bitmap, offsets and values. */
static void *all_null(struct column *column, uint64_t rows)
{
    void *zeros = allocate((rows + 1) * sizeof(uint64_t));
    column->validity = column->data = zeros;
    column->offsets = zeros;
    column->nulls = (int64_t)rows;
    return zeros;
}

static int32_t *narrow_offsets(const int64_t *wide, uint64_t rows)
{
    int32_t *narrow = allocate((rows + 1) * sizeof *narrow);
    for (uint64_t row = 0; row <= rows; row++)
        narrow[row] = (int32_t)wide[row];
    return narrow;
}

static float *narrow_reals(const struct slot *slot, const struct column *column, const double *wide,
                           uint64_t rows, int64_t *failed)
{
    float *narrow = allocate((rows + 1) * sizeof *narrow);
    for (uint64_t row = 0; row < rows; row++) {
        if (!column_is_null(column, (int64_t)row) && !slot_holds_real(slot, wide[row])) {
            *failed = (int64_t)row;
            break;
        }
        narrow[row] = (float)wide[row];
    }
    return narrow;
}

static void *narrow_integers(const struct slot *slot, const struct column *column,
                             const int64_t *wide, uint64_t rows, int64_t *failed)
{
    const size_t width = storage_width(slot->storage);
    uint8_t *narrow = allocate((rows + 1) * width);
    for (uint64_t row = 0; row < rows; row++) {
        if (!column_is_null(column, (int64_t)row) && !slot_holds(slot, wide[row])) {
            *failed = (int64_t)row;
            break;
        }
        memcpy(narrow + row * width, &wide[row], width); /* little endian */
    }
    return narrow;
}

static int64_t count_nulls(const uint8_t *validity, uint64_t rows)
{
    int64_t nulls = 0;
    for (uint64_t row = 0; validity && row < rows; row++)
        nulls += !(validity[row >> 3] >> (row & 7) & 1);
    return nulls;
}

/* Places of a column's buffers. false: it is not one of the slot. The host is trusted, so this is
 * against mistakes. */
static bool find_buffers(const struct slot *slot, const struct udfvm_column *head,
                         const uint8_t *base, uint64_t length, uint64_t rows, struct column *column)
{
    const bool variable = storage_is_variable(slot->storage);
    const uint64_t bits = (rows + 7) / 8, bytes = variable ? head->data_length
                                                  : slot->storage == STORAGE_BOOL ? bits
                                                                                  : rows * 8;
    if (head->type != storage_row_type(slot->storage) || !inside(head->data, bytes, length) ||
        (head->validity && !inside(head->validity, bits, length)) ||
        (variable && !inside(head->offsets, (rows + 1) * 8, length)))
        return false;
    column->validity = head->validity ? base + head->validity : NULL;
    column->nulls = count_nulls(column->validity, rows);
    column->offsets = variable ? base + head->offsets : NULL;
    column->data = base + head->data;
    return !variable || storage_width(slot->storage) == sizeof(int64_t) || bytes <= INT32_MAX;
}

/* Stores what the function has narrower than SQL; *failed is the row that does not fit. */
static void *narrow(const struct slot *slot, struct column *column, uint64_t rows, int64_t *failed)
{
    void *made = NULL;
    if (storage_is_variable(slot->storage) && storage_width(slot->storage) == sizeof(int32_t))
        column->offsets = made = narrow_offsets(column->offsets, rows);
    else if (slot->storage == STORAGE_FLOAT32)
        column->data = made = narrow_reals(slot, column, (const double *)column->data, rows,
                                           failed);
    else if (storage_row_type(slot->storage) == UDFVM_TYPE_INT64 && slot->storage != STORAGE_INT64)
        column->data = made = narrow_integers(slot, column, (const int64_t *)column->data, rows,
                                              failed);
    return made;
}

/* Parses the JSON of a column, which may be one of nulls. *failed is the row that does not fit. */
static bool take_nested(struct nested_argument *argument, const struct slot *slot,
                        const struct udfvm_column *head, const uint8_t *base, uint64_t length,
                        int64_t rows, struct column *column, int64_t *failed)
{
    const struct slot text = { .storage = STORAGE_TEXT32 };
    struct column texts = { .all_null = true };
    if (head->type != UDFVM_TYPE_NULL) {
        texts = (struct column){ .storage = STORAGE_TEXT32 };
        if (!find_buffers(&text, head, base, length, (uint64_t)rows, &texts))
            return false;
    }
    nested_argument_begin(argument);
    for (int64_t row = 0; row < rows; row++) {
        const int64_t *places = (const int64_t *)texts.offsets + row;
        const bool null = column_is_null(&texts, row);
        if (!nested_argument_put(argument, slot->name,
                                 null ? NULL : (const char *)texts.data + places[0],
                                 null ? 0 : (size_t)(places[1] - places[0]))) {
            *failed = row;
            return true;
        }
    }
    *column = nested_argument_column(argument);
    return true;
}

bool arguments_take(struct arguments *arguments, const struct program *program,
                    const uint8_t *payload, uint64_t length, int64_t *row)
{
    const struct signature *signature = &program->signature;
    const struct udfvm_columns *head = (const struct udfvm_columns *)payload;
    const struct udfvm_column *columns = (const struct udfvm_column *)(head + 1);
    memset(arguments->made, 0, sizeof arguments->made);
    *row = -1;
    bool valid = length >= sizeof *head && head->count == signature->count &&
                 head->rows < INT64_MAX / 16 &&
                 inside(sizeof *head, head->count * sizeof *columns, length);
    arguments->rows = valid ? (int64_t)head->rows : 0;
    for (size_t i = 0; valid && i < signature->count; i++) {
        const struct slot *slot = &signature->parameters[i];
        struct column *column = &arguments->columns[i];
        *column = (struct column){ .storage = slot->storage };
        if (program->nested[i]) {
            valid = take_nested(program->nested[i], slot, &columns[i], payload, length,
                                arguments->rows, column, row);
        } else if (columns[i].type == UDFVM_TYPE_NULL) {
            arguments->made[i] = all_null(column, head->rows);
        } else {
            valid = find_buffers(slot, &columns[i], payload, length, head->rows, column);
            arguments->made[i] = valid ? narrow(slot, column, head->rows, row) : NULL;
        }
        if (*row >= 0)
            return false;
    }
    if (!valid)
        failure_set("ValueError", "the columns are not those that the function was loaded with");
    return valid;
}

void arguments_free(struct arguments *arguments)
{
    for (size_t i = 0; i < PROGRAM_PARAMETERS; i++)
        free(arguments->made[i]);
}

/* ---- Results: the block as the function fills it, and behind it what has to be wider ---- */

static bool is_narrow(enum storage storage)
{
    return storage != STORAGE_BOOL && storage_width(storage) != sizeof(int64_t);
}

static uint64_t wide_bytes(enum storage storage, int64_t rows)
{
    return is_narrow(storage) ? ((uint64_t)rows + 1) * sizeof(uint64_t) : 0;
}

bool results_begin(struct block *block, enum storage storage, int64_t rows, uint8_t *output,
                   uint64_t capacity)
{
    return block_begin(block, storage, rows, output, capacity, HEAD, wide_bytes(storage, rows));
}

static void widen(const struct block *block, uint64_t *wide)
{
    const void *data = block->output + block->data;
    const int32_t *offsets = (const int32_t *)(block->output + block->offsets);
    if (storage_is_variable(block->storage))
        for (int64_t row = 0; row <= block->rows; row++)
            wide[row] = (uint64_t)offsets[row];
    else if (block->storage == STORAGE_FLOAT32)
        for (int64_t row = 0; row < block->rows; row++)
            ((double *)wide)[row] = (double)((const float *)data)[row];
    else
        for (int64_t row = 0; row < block->rows; row++)
            wide[row] = (uint64_t)stored_integer(block->storage,
                                                 (const uint8_t *)data +
                                                     (size_t)row * storage_width(block->storage));
}

uint64_t results_end(const struct block *block)
{
    const uint64_t place = block_end(block),
                   length = place + wide_bytes(block->storage, block->rows);
    if (!block_fits(block))
        return length;
    const struct udfvm_columns head = { .rows = (uint64_t)block->rows, .count = 1 };
    struct udfvm_column column = {
        .type = storage_row_type(block->storage),
        .validity = block->nulls ? block->validity : 0,
        .offsets = block->offsets,
        .data = block->data,
        .data_length = block->data_bytes,
    };
    if (is_narrow(block->storage)) {
        widen(block, (uint64_t *)(block->output + place));
        *(storage_is_variable(block->storage) ? &column.offsets : &column.data) = place;
    }
    memcpy(block->output, &head, sizeof head);
    memcpy(block->output + sizeof head, &column, sizeof column);
    return length;
}
