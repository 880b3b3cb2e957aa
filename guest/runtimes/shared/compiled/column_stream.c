/* See column_stream.h. */
#include "shared/compiled/column_stream.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/nested_result.h"

struct messages { /* messages one after the other, one for each column; empty ones have a prefix of
                     zeros */
    const uint8_t *at;
    size_t left;
};

/* Takes the next message. *length is 0 if it is empty. Returns false if there is none. */
static bool take_message(struct messages *messages, const uint8_t **message, size_t *length)
{
    struct prefix prefix;
    if (messages->left < sizeof prefix)
        return false;
    memcpy(&prefix, messages->at, sizeof prefix);
    if (prefix.metadata_length > messages->left - sizeof prefix)
        return false;
    const size_t whole = sizeof prefix + prefix.metadata_length;
    *message = messages->at;
    *length = prefix.continuation ? whole : 0;
    messages->at += whole;
    messages->left -= whole;
    return true;
}

static void *allocate(size_t size)
{
    void *made = calloc(1, size);
    if (!made)
        abort();
    return made;
}

struct column_stream *column_stream_new(const struct type *type, const uint8_t *schema,
                                        size_t schema_length, const uint8_t *template,
                                        size_t template_length)
{
    struct column_stream *stream = allocate(sizeof *stream);
    struct stream_format *format = &stream->format;
    const size_t head = stream_nested_head(format, schema_length, template, template_length);
    if (head == 0 || !nested_result_fits(format, type)) {
        free(stream);
        return NULL;
    }
    format->reply_head = allocate(schema_length + head);
    memcpy(format->reply_head, schema, schema_length);
    memcpy(format->reply_head + schema_length, template, head);
    stream->builder = builder_new(type);
    stream->column = type_column(type);
    return stream;
}

/* Finds the types of the columns: the fields of a table function's struct, or the result. Returns
 * their number. */
static size_t types_of_columns(const struct program *program, const struct type *types[])
{
    static const struct type natural = { .storage = STORAGE_UINT64 };
    const struct slot *result = &program->signature.result;
    const bool whole = program->table && result->storage == STORAGE_STRUCT;
    const size_t count = whole ? result->type->count : 1;
    for (size_t i = 0; i < count; i++)
        types[i] = whole ? &result->type->children[i] : result->type;
    if (!types[0] && result->storage == STORAGE_UINT64)
        types[0] = &natural;
    return count;
}

bool column_streams_prepare(struct program *program, const struct load *load)
{
    struct messages schemas = { load->result_schema, load->result_schema_length },
                    templates = { load->template, load->template_length };
    const struct type *types[MAX_TABLE_COLUMNS];
    const size_t count = types_of_columns(program, types);
    const uint8_t *schema, *template;
    size_t schema_length, template_length;
    for (size_t i = 0; schemas.left > 0 && i < count; i++) {
        if (!take_message(&schemas, &schema, &schema_length) ||
            !take_message(&templates, &template, &template_length))
            return failure_set("ValueError", "the formats of the columns are malformed");
        if (schema_length == 0)
            continue;
        program->streams[i] = types[i] ? column_stream_new(types[i], schema, schema_length,
                                                           template, template_length)
                                       : NULL;
        if (!program->streams[i])
            return failure_set("TypeError",
                               "column %zu is not of the type that the signature declares", i);
    }
    return true;
}

void column_stream_begin(struct column_stream *stream)
{
    builder_clear(&stream->builder);
}

void column_stream_null(struct column_stream *stream)
{
    builder_null(&stream->builder);
}

bool column_stream_append(struct column_stream *stream, const struct column *column, int64_t row)
{
    return builder_append(&stream->builder, column, row);
}

uint64_t column_stream_end(struct column_stream *stream, uint8_t *output, uint64_t capacity)
{
    builder_column(&stream->builder, &stream->column);
    return nested_result_write(&stream->format, &stream->column, stream->builder.rows, output,
                               capacity);
}
