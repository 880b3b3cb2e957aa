/* See nested_result.h. */
#include "shared/compiled/nested_result.h"

#include <stdlib.h>
#include <string.h>

#include "arrow/body.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/json.h"

bool nested_result_fits(const struct stream_format *format, const struct type *type)
{
    const struct column column = type_column(type);
    const struct body_counts counts = body_counts(&column, 1);
    return counts.nodes == format->fields.node_count &&
           counts.buffers == format->fields.buffer_count;
}

static bool run(const struct program *program, const struct column *columns, int64_t rows,
                uint8_t *valid, struct column *result, int64_t *row)
{
    program_skip_nulls(&program->signature, columns, rows, valid);
    *row = program->run_nested(program->context, columns, rows, valid, result);
    return *row == rows;
}

uint64_t nested_result_write(const struct stream_format *format, const struct column *column,
                             int64_t rows, uint8_t *output, uint64_t capacity)
{
    static const struct prefix end_of_stream = { UINT32_MAX, 0 };
    const uint64_t head = format->reply_head_length,
                   length = head + body_length(column, 1, rows) + sizeof end_of_stream;
    if (length > capacity)
        return length;
    memcpy(output, format->reply_head, head);
    body_write(column, 1, rows, &format->fields, output + format->metadata, output + head);
    memcpy(output + length - sizeof end_of_stream, &end_of_stream, sizeof end_of_stream);
    return length;
}

bool nested_result_batch(const struct program *program, const struct column *columns, int64_t rows,
                         uint8_t *output, uint64_t capacity, uint64_t *length, int64_t *row)
{
    struct column result;
    const size_t bytes = bitmap_bytes(rows);
    uint8_t *valid = malloc(bytes + 1);
    if (!valid)
        abort();
    memset(valid, 0xff, bytes);
    const bool done = run(program, columns, rows, valid, &result, row);
    if (done)
        *length = nested_result_write(&program->format, &result, rows, output, capacity);
    free(valid);
    return done;
}

bool nested_result_texts(const struct program *program, const struct column *columns,
                         struct block *block, int64_t *row)
{
    struct column result;
    struct bytes text = { 0 };
    uint8_t *valid = block->output + block->validity;
    if (!run(program, columns, block->rows, valid, &result, row))
        return false;
    for (*row = 0; *row < block->rows; ++*row) {
        struct scalar scalar = { .null = column_is_null(&result, *row) };
        text.length = 0;
        if (!scalar.null && !json_write(program->signature.result.type, &result, *row, &text))
            break;
        scalar.bytes = (const char *)text.at;
        scalar.length = text.length;
        if (!block_put(block, *row, &scalar)) {
            failure_set("OverflowError", "the results of this batch are too large for one column");
            break;
        }
    }
    bytes_free(&text);
    block->nulls = bitmap_count_clear(valid, block->rows);
    return *row == block->rows;
}
