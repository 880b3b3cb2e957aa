/* See column_reply.h. */
#include "python/column_reply.h"

#include "arrow/column_batch.h"
#include "shared/exchange.h"

#include <string.h>

struct batch_writer writer_begin(size_t count)
{
    const struct udfvm_call *call = exchange_call();
    return (struct batch_writer){ (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size,
                                  sizeof(struct udfvm_columns) +
                                      count * sizeof(struct udfvm_column) };
}

static void writer_put_head(struct batch_writer *writer, size_t index,
                            const struct udfvm_column *head)
{
    memcpy(writer->output + sizeof(struct udfvm_columns) + index * sizeof *head, head,
           sizeof *head);
}

void writer_close_block(struct batch_writer *writer, size_t index, const struct block *block)
{
    writer->end = block_end(block);
    if (!block_fits(block))
        return;
    block_pad(block);
    const struct udfvm_column column = column_head(block);
    writer_put_head(writer, index, &column);
}

uint64_t writer_finish(const struct batch_writer *writer, size_t count, int64_t rows,
                       uint32_t flags)
{
    const struct udfvm_columns head = { .rows = (uint64_t)rows,
                                        .count = (uint32_t)count,
                                        .flags = flags };
    if (writer->end <= writer->capacity)
        memcpy(writer->output, &head, sizeof head);
    return writer->end;
}

static int write_list(const struct value_slot *slot, PyObject *list, int64_t rows,
                      struct batch_writer *writer, struct block *block, Py_ssize_t *failed)
{
    if (PyList_GET_SIZE(list) != rows) {
        PyErr_Format(PyExc_ValueError, "a column of %zd values for %lld rows",
                     PyList_GET_SIZE(list), (long long)rows);
        return -1;
    }
    if (!block_begin(block, slot->storage, rows, writer->output, writer->capacity, writer->end, 0))
        return 0;
    for (int64_t row = 0; row < rows && row < PyList_GET_SIZE(list); row++) {
        struct result converted;
        PyObject *value = Py_NewRef(PyList_GET_ITEM(list, (Py_ssize_t)row));
        int code = result_from_object(slot, value, &converted);
        Py_DECREF(value);
        if (code == 0)
            code = block_put(block, row, &converted.scalar) ? 0 : column_too_large();
        result_clear(&converted);
        if (code < 0) {
            *failed = (Py_ssize_t)row;
            return -1;
        }
    }
    return 0;
}

static bool buffers_suffice(enum storage storage, int64_t rows, const Py_buffer *validity,
                            const Py_buffer *offsets, const Py_buffer *data)
{
    const uint64_t bits = bitmap_bytes(rows), width = storage_width(storage);
    if (validity->buf && (uint64_t)validity->len < bits)
        return false;
    if (!storage_is_variable(storage))
        return (uint64_t)data->len >= (width ? (uint64_t)rows * width : bits);
    return (uint64_t)offsets->len >= ((uint64_t)rows + 1) * width;
}

/* (nulls, validity, offsets, data), of the storage of the slot. */
static int write_buffers(const struct value_slot *slot, PyObject *tuple, int64_t rows,
                         struct batch_writer *writer, struct block *block)
{
    long long nulls;
    Py_buffer validity, offsets, data;
    if (!PyArg_ParseTuple(tuple, "Lz*z*z*", &nulls, &validity, &offsets, &data))
        return -1;
    const bool valid = buffers_suffice(slot->storage, rows, &validity, &offsets, &data);
    if (!valid)
        PyErr_SetString(PyExc_ValueError, "the buffers are too short for the column");
    else if (block_begin(block, slot->storage, rows, writer->output, writer->capacity, writer->end,
                         0))
        block_put_buffers(block, nulls, validity.buf, offsets.buf, data.buf, (uint64_t)data.len);
    PyBuffer_Release(&validity);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    return valid ? 0 : -1;
}

/* The stream of a column, which is bytes or like them. */
static int write_stream(PyObject *object, struct batch_writer *writer, size_t index)
{
    Py_buffer stream;
    if (PyObject_GetBuffer(object, &stream, PyBUF_SIMPLE) < 0)
        return -1;
    const struct udfvm_column head = { .type = UDFVM_TYPE_ARROW,
                                       .data = writer->end,
                                       .data_length = (uint64_t)stream.len };
    const uint64_t rest = padded(head.data_length) - head.data_length;
    writer->end += head.data_length + rest;
    if (writer->end <= writer->capacity) {
        memcpy(writer->output + head.data, stream.buf, head.data_length);
        memset(writer->output + head.data + head.data_length, 0, rest);
        writer_put_head(writer, index, &head);
    }
    PyBuffer_Release(&stream);
    return 0;
}

int writer_put_column(struct batch_writer *writer, size_t index, const struct value_slot *slot,
                      PyObject *column, int64_t rows, Py_ssize_t *failed)
{
    struct block block;
    if (!PyList_Check(column) && !PyTuple_Check(column))
        return write_stream(column, writer, index);
    const int code = PyList_Check(column) ? write_list(slot, column, rows, writer, &block, failed)
                                          : write_buffers(slot, column, rows, writer, &block);
    if (code == 0)
        writer_close_block(writer, index, &block);
    return code;
}
