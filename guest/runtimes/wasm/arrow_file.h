/* Arrow IPC files of one record batch (arrow.apache.org/docs/format/Columnar.html, "IPC File
 * Format"), which modules for arrow-udf take and return. */
#ifndef UDFVM_WASM_ARROW_FILE_H
#define UDFVM_WASM_ARROW_FILE_H

#include "arrow/stream_format.h"

/* The format of files with the columns of one signature. A file is a copy of one that pyarrow
 * wrote, with other numbers. */
struct file_format {
    uint8_t *head; /* bytes before the body of the record batch */
    uint8_t *tail; /* bytes after the body: end mark, footer */
    size_t head_length, tail_length;
    uint32_t metadata;          /* offset in the head of the record batch's metadata */
    struct batch_fields fields; /* offsets in the metadata */
    size_t block;               /* offset in the tail of the body's length */
};

/* Returns false unless it is a file with such columns, whose storage and children are set. */
bool file_format_take(struct file_format *format, const uint8_t *file, size_t length,
                      const struct column *columns, size_t count);

/* Returns the length of a file with these columns. */
uint64_t file_length(const struct file_format *format, const struct column *columns, size_t count,
                     int64_t rows);
void file_write(const struct file_format *format, const struct column *columns, size_t count,
                int64_t rows, uint8_t *to);

/* Finds the columns in a file that a module wrote: at most `capacity`; *count exist. Each has its
 * storage and children set. Buffers lie inside the file and are long enough for the rows, and
 * offsets lie inside the data. Returns false unless it is a file of one batch with such columns. */
bool file_read(const uint8_t *file, uint64_t length, struct column *columns, size_t capacity,
               size_t *count, int64_t *rows);

#endif
