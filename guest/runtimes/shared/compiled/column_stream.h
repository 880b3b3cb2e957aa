/* Columns of table functions and aggregates that are Arrow streams (UDFVM_TYPE_ARROW) for hosts
 * that take them: structs and lists, which are JSON text for others, and uint64, which no row has.
 * And such values of host functions. */
#ifndef UDFVM_COMPILED_COLUMN_STREAM_H
#define UDFVM_COMPILED_COLUMN_STREAM_H

#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

struct column_stream {
    struct stream_format format;
    struct builder builder;
    struct column column;
};

/* Returns the stream of a type, which is kept; NULL if the messages, a schema and a record batch of
 * one row, are not those of the type. */
struct column_stream *column_stream_new(const struct type *type, const uint8_t *schema,
                                        size_t schema_length, const uint8_t *template,
                                        size_t template_length);
/* Creates those of a table function or aggregate whose formats the load has, after its signature is
 * known. Returns false with a failure. */
bool column_streams_prepare(struct program *program, const struct load *load);

/* Begins a column, to which rows of columns of the same type are appended. */
void column_stream_begin(struct column_stream *stream);
void column_stream_null(struct column_stream *stream);
/* Returns false if the column is too large for its offsets. */
bool column_stream_append(struct column_stream *stream, const struct column *column, int64_t row);
/* Writes the stream. Returns its length; if that is more than the capacity, nothing was written. */
uint64_t column_stream_end(struct column_stream *stream, uint8_t *output, uint64_t capacity);

#endif
