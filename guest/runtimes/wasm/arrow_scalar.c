/* See arrow_scalar.h. Each batch is one call. */
#include "wasm/arrow_scalar.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "utf8.h"
#include "size_text.h"

/* Returns the row with an error, or `rows`. The error of a row that was null before is ignored. */
static int64_t failed_row(const struct column *errors, const uint8_t *valid, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++)
        if (bitmap_get(valid, row) && arrow_failed_row(errors, row, row + 1) == row)
            return row;
    return rows;
}

/* Reads the file that the function returned: the column of results. `valid` has bits of the rows
 * that were not null before. Returns the number of rows without an error; -1 if the file is not
 * valid. */
static int64_t read_results(const struct arrow_module *arrow, const uint8_t *file, uint32_t length,
                            const uint8_t *valid, int64_t rows, struct column *result)
{
    struct column columns[2] = { arrow->result, { .storage = STORAGE_TEXT32 } };
    size_t count;
    int64_t found;
    if (!file_read(file, length, columns, 2, &count, &found) || count == 0 || found != rows) {
        failure_set("RuntimeError",
                    "the module returned %s, which are not an Arrow IPC file of %lld row%s with "
                    "the declared result",
                    size_text(length).text, (long long)rows, &"s"[rows == 1]);
        return -1;
    }
    *result = columns[0];
    const int64_t done = count == 2 ? failed_row(&columns[1], valid, rows) : rows;
    return done < rows || arrow->signature->result.nullable
               ? done
               : arrow_null_row(result, valid, 0, rows);
}

/* ---- Results without columns in them ---- */

static int64_t put_texts(struct block *block, const struct column *column, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++) {
        const struct scalar text = block_is_valid(block, row) ? column_bytes(column, row)
                                                              : (struct scalar){ .length = 0 };
        if (storage_is_text(block->storage) && !utf8_is_valid(text.bytes, text.length)) {
            failure_set("UnicodeDecodeError", "the function returned text that is not valid UTF-8");
            return row;
        }
        if (!block_put(block, row, &text)) {
            failure_set("OverflowError", "the results of this batch are too large for one column");
            return row;
        }
    }
    return rows;
}

static int64_t take_batch(const struct arrow_module *arrow, const struct arrow_slice *slice,
                          struct block *block, int64_t rows)
{
    struct column result;
    uint8_t *validity = block->output + block->validity;
    const int64_t done = read_results(arrow, slice->bytes, slice->length, validity, rows, &result);
    if (done < rows)
        return done;
    if (result.validity)
        bitmap_and(validity, result.validity, rows);
    if (storage_is_variable(block->storage))
        return put_texts(block, &result, rows);
    memcpy(block->output + block->data, result.data, block->data_bytes);
    return rows;
}

static int64_t run(void *context, const struct column *columns, struct block *block, int64_t rows,
                   bool skips)
{
    (void)skips;
    const struct arrow_module *arrow = context;
    struct arrow_request request;
    struct arrow_slice slice;
    uint32_t status;
    int64_t done = -1;
    if (!arrow_ask(arrow, columns, rows, &request, &status) ||
        !arrow_take(arrow, &request, false, &slice))
        return -1;
    if (status == 0)
        done = take_batch(arrow, &slice, block, rows);
    else
        arrow_refused(&slice);
    return done < rows || (arrow_give_back(arrow, &slice) && arrow_end(arrow, &request)) ? done
                                                                                         : -1;
}

/* ---- Structs and lists: read from a copy of the file, which stays until the next call ---- */

static int64_t take_copy(struct arrow_module *arrow, const uint8_t *valid, int64_t rows,
                         struct column *result)
{
    const int64_t done = read_results(arrow, arrow->file.at, (uint32_t)arrow->file.length, valid,
                                      rows, result);
    if (done < rows)
        return done;
    if (!arrow_texts_valid(result, rows))
        return -1;
    if (!result->validity) {
        result->validity = valid;
        return rows;
    }
    uint8_t *validity = arrow->file.at + (result->validity - arrow->file.at);
    bitmap_and(validity, valid, rows);
    return rows;
}

static int64_t run_nested(void *context, const struct column *columns, int64_t rows,
                          const uint8_t *valid, struct column *result)
{
    struct arrow_module *arrow = context;
    struct arrow_request request;
    struct arrow_slice slice;
    uint32_t status;
    if (!arrow_ask(arrow, columns, rows, &request, &status) ||
        !arrow_take(arrow, &request, false, &slice))
        return -1;
    if (status != 0) {
        arrow_refused(&slice);
        return -1;
    }
    bytes_free(&arrow->file);
    bytes_put(&arrow->file, slice.bytes, slice.length);
    return arrow_give_back(arrow, &slice) && arrow_end(arrow, &request)
               ? take_copy(arrow, valid, rows, result)
               : -1;
}

void arrow_scalar_prepare(struct program *program, const struct arrow_module *arrow,
                          const struct signature *found)
{
    struct arrow_module *kept = malloc(sizeof *kept);
    if (!kept)
        abort();
    *kept = *arrow;
    program->run = found->result.type ? NULL : run;
    program->by_row = true;
    program->run_nested = found->result.type ? run_nested : NULL;
    program->context = kept;
}
