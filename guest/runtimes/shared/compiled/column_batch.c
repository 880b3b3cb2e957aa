/* Column batches: see column_batch.h. */
#include "shared/compiled/column_batch.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/nested_argument.h"

#define HEAD (sizeof(struct udfvm_columns) + sizeof(struct udfvm_column))

/* ---- Arguments ---- */

static void *allocate(size_t size)
{
    void *made = calloc(1, size);
    if (!made)
        abort();
    return made;
}

/* Makes a column of nulls: zeros serve as bitmap, offsets and values. */
static void *all_null(struct column *column, uint64_t rows)
{
    void *zeros = allocate((rows + 1) * sizeof(uint64_t));
    column->all_null = false;
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

/* Finds the column of an argument in the request. Returns false if it does not fit the slot. */
static bool find_argument(const struct column_request *request, size_t index,
                          const struct slot *slot, struct column *column)
{
    if (!column_request_find(request, index, slot->storage, column))
        return false;
    if (column->validity)
        column->nulls = bitmap_count_clear(column->validity, (int64_t)request->rows);
    return !storage_is_variable(slot->storage) || storage_width(slot->storage) == sizeof(int64_t) ||
           request->heads[index].data_length <= INT32_MAX;
}

/* Stores values of SQL in a narrower type of the function; *failed is the row that does not fit. */
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
static bool take_nested(struct nested_argument *argument, const struct column_request *request,
                        size_t index, struct column *column, int64_t *failed)
{
    const struct slot text = { .storage = STORAGE_TEXT64 };
    struct column texts;
    if (!find_argument(request, index, &text, &texts))
        return false;
    nested_argument_begin(argument);
    for (int64_t row = 0; row < (int64_t)request->rows; row++) {
        const bool null = column_is_null(&texts, row);
        const struct scalar json = null ? (struct scalar){ .null = true }
                                        : column_bytes(&texts, row);
        if (!nested_argument_put(argument, json.bytes, json.length)) {
            *failed = row;
            return true;
        }
    }
    *column = nested_argument_column(argument);
    return true;
}

/* Reads the stream of a column: of a struct, list or uint64. Returns false if it is another. */
static bool take_stream(struct nested_argument *nested, const struct scalar *stream,
                        const struct slot *slot, uint64_t rows, struct column *column)
{
    int64_t found;
    if (!nested && slot->storage != STORAGE_UINT64)
        return false;
    *column = nested ? nested->column : (struct column){ .storage = slot->storage };
    return stream_read_column((const uint8_t *)stream->bytes, stream->length, column, &found) &&
           found == (int64_t)rows;
}

/* Converts the argument for the function; the request has it at `at`. Returns false if it does not
 * fit the slot; *failed is the row that does not fit. */
static bool take_argument(struct arguments *arguments, const struct program *program, size_t at,
                          size_t index, int64_t *failed)
{
    const struct column_request *request = &arguments->request;
    const struct slot *slot = &program->signature.parameters[index];
    struct column *column = &arguments->columns[index];
    struct scalar stream;
    if (column_request_stream(request, at, &stream))
        return take_stream(program->nested[index], &stream, slot, request->rows, column);
    if (program->nested[index])
        return take_nested(program->nested[index], request, at, column, failed);
    if (!find_argument(request, at, slot, column))
        return false;
    arguments->made[index] = column->all_null ? all_null(column, request->rows)
                                              : narrow(slot, column, request->rows, failed);
    return true;
}

bool arguments_take(struct arguments *arguments, const struct program *program,
                    const uint8_t *payload, uint64_t length, size_t leading, int64_t *row)
{
    struct column_request *request = &arguments->request;
    const size_t count = program->signature.count;
    memset(arguments->made, 0, sizeof arguments->made);
    *row = -1;
    bool valid = column_request_open(request, payload, length, leading + count);
    arguments->rows = valid ? (int64_t)request->rows : 0;
    for (size_t i = 0; valid && i < count; i++) {
        valid = take_argument(arguments, program, leading + i, i, row);
        if (*row >= 0)
            return failure_of_argument(i + 1);
    }
    if (!valid)
        failure_set("ValueError", "the columns are not those that the function was loaded with");
    return valid;
}

void arguments_free(struct arguments *arguments)
{
    for (size_t i = 0; i < MAX_PARAMETERS; i++)
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
            wide[row] = (uint64_t)stored_integer(block->storage, data, row);
}

uint64_t results_end(const struct block *block)
{
    const uint64_t widened = block_end(block),
                   length = widened + wide_bytes(block->storage, block->rows);
    if (!block_fits(block))
        return length;
    const struct udfvm_columns head = { .rows = (uint64_t)block->rows, .count = 1 };
    struct udfvm_column column = column_head(block);
    if (is_narrow(block->storage)) {
        widen(block, (uint64_t *)(block->output + widened));
        *(storage_is_variable(block->storage) ? &column.offsets : &column.data) = widened;
    }
    memcpy(block->output, &head, sizeof head);
    memcpy(block->output + sizeof head, &column, sizeof column);
    return length;
}
