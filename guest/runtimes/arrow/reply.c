/* A reply as an Arrow IPC stream: see stream_format.h. */
#include "arrow/stream_format.h"

#include <string.h>

static uint64_t head_bytes(const struct reply *reply)
{
    return reply->format->reply_head_length;
}

bool reply_begin(struct reply *reply, const struct stream_format *format, enum storage storage,
                 int64_t rows, uint8_t *output, uint64_t capacity)
{
    reply->format = format;
    return block_begin(&reply->block, storage, rows, output, capacity, head_bytes(reply),
                       sizeof(struct prefix));
}

/* Writes the head of the stream, for a column whose buffers have these offsets in the body. */
static void write_head(const struct stream_format *format, uint8_t *output, struct pair node,
                       const struct pair offsets[3], int64_t body)
{
    const struct batch_fields *fields = &format->fields;
    uint8_t *metadata = output + format->metadata;
    memcpy(output, format->reply_head, format->reply_head_length);
    memcpy(metadata + fields->rows, &node.first, sizeof node.first);
    memcpy(metadata + fields->nodes, &node, sizeof node);
    memcpy(metadata + fields->buffers, offsets, fields->buffer_count * sizeof *offsets);
    if (fields->body_length)
        memcpy(metadata + fields->body_length, &body, sizeof body);
}

uint64_t reply_in_place(const struct stream_format *format, uint8_t *output, int64_t rows,
                        const void *data, uint64_t data_bytes)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    const uint64_t start = (uint64_t)(uintptr_t)data, head = format->reply_head_length;
    if (!(call->flags & UDFVM_CALL_IN_PLACE) || start < call->scratch_start ||
        start >= call->scratch_end || data_bytes > call->scratch_end - start || start % 8 ||
        format->fields.buffer_count != 2)
        return 0;
    const uint64_t offset = start - (uint64_t)(uintptr_t)output - head, body = offset + data_bytes;
    const struct pair offsets[3] = { { 0, 0 }, { (int64_t)offset, (int64_t)data_bytes } };
    write_head(format, output, (struct pair){ rows, 0 }, offsets, (int64_t)body);
    return head + body;
}

uint64_t reply_end(struct reply *reply)
{
    static const struct prefix end_of_stream = { UINT32_MAX, 0 };
    const struct block *block = &reply->block;
    const uint64_t head = head_bytes(reply), end = block_end(block);
    if (!block_fits(block))
        return end + sizeof end_of_stream;
    const struct pair data = { (int64_t)(block->data - head), (int64_t)block->data_bytes };
    struct pair offsets[3] = { { 0, block->nulls ? (int64_t)block_validity_bytes(block) : 0 },
                               { (int64_t)(block->offsets - head),
                                 (int64_t)block_offsets_bytes(block) },
                               data };
    if (reply->format->fields.buffer_count == 2)
        offsets[1] = data;
    write_head(reply->format, block->output, (struct pair){ block->rows, block->nulls }, offsets,
               (int64_t)(end - head));
    block_pad(block);
    memcpy(block->output + end, &end_of_stream, sizeof end_of_stream);
    return end + sizeof end_of_stream;
}
