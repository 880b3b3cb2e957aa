/* See vector_function.h. */
#include "native/vector_function.h"

#include "native/context_switch.h"
#include "native/nested_array.h"
#include "native/nested_value.h"
#include "native/services.h"
#include "shared/compiled/failure.h"
#include "utf8.h"

struct vector_call {
    const struct udfvm_function *function;
    const struct ArrowArray *arguments;
    struct ArrowArray *result;
};

static void call_vector(void *argument)
{
    const struct vector_call *call = argument;
    call->function->vector(call->arguments, call->result);
}

static void call_release(void *argument)
{
    struct ArrowArray *result = argument;
    result->release(result);
}

/* Calls the function. Returns the first row with an argument that it does not take, -1 if it
 * failed, else `rows`. */
static int64_t call(const struct described_function *described, const struct column *columns,
                    int64_t rows, const uint8_t *valid, struct ArrowArray *result)
{
    const struct udfvm_function *function = described->function;
    struct ArrowArray arguments[UDFVM_MAX_PARAMETERS];
    struct vector_call call = { function, arguments, result };
    size_t wrong;
    const int64_t taken = function_takes(described, columns, 0, rows, valid, &wrong);
    if (taken < rows) {
        failure_of_argument(wrong + 1);
        return taken;
    }
    for (size_t i = 0; i < function->count; i++)
        arguments[i] = array_of(&columns[i], rows, services_allocate);
    context_call(call_vector, &call);
    return function_failed(function->state) ? -1 : rows;
}

/* ---- Results of numbers, texts and blobs ---- */

static bool take_text(const struct ArrowArray *result, struct block *block)
{
    const int32_t *offsets = result->buffers[1];
    const char *data = result->buffers[2];
    for (int64_t row = 0; row < block->rows; row++) {
        const int32_t begin = offsets[row], end = offsets[row + 1];
        const bool valid = block_is_valid(block, row);
        const struct scalar scalar = { .bytes = data + begin,
                                       .length = valid && end > begin ? (size_t)(end - begin) : 0 };
        if (block->storage == STORAGE_TEXT32 && !utf8_is_valid(scalar.bytes, scalar.length))
            return failure_set("RuntimeError",
                               "the function returned text that is not valid UTF-8, in row %lld",
                               (long long)row);
        if (!block_put(block, row, &scalar))
            return failure_set("RuntimeError",
                               "the results of this batch are too large for one column");
    }
    return true;
}

static bool take_array(const struct ArrowArray *result, const void *const prepared[2],
                       struct block *block)
{
    const bool variable = storage_is_variable(block->storage);
    if (result->length != block->rows || result->offset != 0 ||
        result->n_buffers != (variable ? 3 : 2) || !result->buffers || !result->buffers[1])
        return failure_set(
            "RuntimeError",
            "the function's result has length %lld, offset %lld, %lld buffers where length "
            "%lld, offset 0, %d buffers "
            "are expected",
            (long long)result->length, (long long)result->offset, (long long)result->n_buffers,
            (long long)block->rows, variable ? 3 : 2);
    if (result->buffers[0] && result->buffers[0] != prepared[0])
        bitmap_and(block->output + block->validity, result->buffers[0], block->rows);
    if (variable)
        return take_text(result, block);
    if (result->buffers[1] != prepared[1])
        memcpy(block->output + block->data, result->buffers[1], block->data_bytes);
    return true;
}

int64_t vector_run(void *context, const struct column *columns, struct block *block, int64_t rows,
                   bool skips)
{
    (void)skips;
    const struct described_function *described = context;
    const bool variable = storage_is_variable(block->storage);
    const void *prepared[2] = { block->output + block->validity, block->output + block->data };
    const void *buffers[3] = { prepared[0], variable ? NULL : prepared[1], NULL };
    struct ArrowArray result = { .length = rows,
                                 .n_buffers = variable ? 3 : 2,
                                 .buffers = buffers };
    function_begin(described->function->state);
    int64_t done = call(described, columns, rows, prepared[0], &result);
    if (done == rows && !take_array(&result, prepared, block))
        done = -1;
    if (result.release)
        context_call(call_release, &result);
    return done;
}

/* ---- Results of lists and structs ---- */

/* Sets the bitmap of a result's rows: those of `valid` that the function made no nulls. */
static void set_validity(struct described_function *described, const uint8_t *valid, int64_t rows)
{
    struct column *column = &described->column;
    const size_t length = bitmap_bytes(rows);
    described->validity.length = 0;
    bytes_put(&described->validity, valid, length);
    if (column->validity)
        bitmap_and(described->validity.at, column->validity, rows);
    column->validity = described->validity.at;
    column->nulls = length ? bitmap_count_clear(described->validity.at, rows) : 0;
}

static bool take_nested(struct described_function *described, const struct ArrowArray *result,
                        const uint8_t *valid, int64_t rows)
{
    const struct udfvm_type *type = described->function->result;
    const char *field = "the result";
    if (result->length != rows)
        return failure_set("RuntimeError",
                           "the function's result has length %lld where length %lld is expected",
                           (long long)result->length, (long long)rows);
    if (!array_take(type, result, "the result", rows, &described->column))
        return false;
    if (nested_wrong_null(type, &described->column, 0, rows, valid, &field) < rows)
        return failure_set("RuntimeError",
                           "the function returned null in %s, whose type is not optional", field);
    set_validity(described, valid, rows);
    return true;
}

/* The result's buffers are the function's, so it is released when the next call begins. */
int64_t vector_run_nested(void *context, const struct column *columns, int64_t rows,
                          const uint8_t *valid, struct column *result)
{
    struct described_function *described = context;
    struct ArrowArray *array = &described->unreleased;
    if (array->release)
        context_call(call_release, array);
    function_begin(described->function->state);
    *array = array_prepare(described->function->result, rows, services_allocate);
    int64_t done = call(described, columns, rows, valid, array);
    if (done == rows && !take_nested(described, array, valid, rows))
        done = -1;
    *result = described->column;
    return done;
}
