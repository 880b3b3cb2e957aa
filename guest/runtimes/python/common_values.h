/* Values of the storages that most functions have, text, doubles and 64-bit integers, between
 * Python and columns: what values.h does for any, without a call for each step of it. */
#ifndef UDFVM_PYTHON_COMMON_VALUES_H
#define UDFVM_PYTHON_COMMON_VALUES_H

#include "arrow/block.h"
#include "python/values.h"

#define WORD       sizeof(uint64_t)
#define NOT_ASCII  UINT64_C(0x8080808080808080)
#define MAX_INLINE 64 /* bytes: more are worth a call of memcpy() */

static inline uint64_t copy_word(char *to, const char *from)
{
    uint64_t word;
    memcpy(&word, from, WORD);
    memcpy(to, &word, WORD);
    return word;
}

/* Copies bytes that do not overlap. Returns all their words, or'ed. */
static inline uint64_t copy_words(char *to, const char *from, size_t length)
{
    uint64_t seen = 0;
    if (length < WORD) {
        for (size_t i = 0; i < length; i++)
            seen |= (uint64_t)(uint8_t)(to[i] = from[i]);
        return seen;
    }
    for (size_t i = 0; i <= length - WORD; i += WORD)
        seen |= copy_word(to + i, from + i);
    return seen | copy_word(to + length - WORD, from + length - WORD);
}

/* Returns the text of a row; NULL with an exception. */
static inline PyObject *text_of_row(const struct column *column, int64_t row)
{
    const struct scalar bytes = column_bytes(column, row);
    const Py_ssize_t length = (Py_ssize_t)bytes.length;
    if (length > 1) { /* Python keeps the shorter ones */
        PyObject *text = PyUnicode_New(length, 0x7f);
        if (!text || !(copy_words((char *)PyUnicode_1BYTE_DATA(text), bytes.bytes, bytes.length) &
                       NOT_ASCII))
            return text;
        Py_DECREF(text);
    }
    return PyUnicode_DecodeUTF8(length ? bytes.bytes : "", length, NULL);
}

/* Returns true for a parameter whose arguments next_argument() makes. */
static inline bool is_common(const struct value_slot *slot)
{
    return slot->direct && (slot->storage == STORAGE_FLOAT64 || slot->storage == STORAGE_INT64 ||
                            slot->storage == STORAGE_TEXT32);
}

/* Makes the argument of a row that is not null, in place of the row before's, which it releases;
 * NULL: there is none. Returns NULL with an exception. */
static inline PyObject *next_argument(PyObject *last, enum storage storage,
                                      const struct column *column, int64_t row)
{
    if (storage == STORAGE_FLOAT64) {
        const double real = ((const double *)column->data)[row];
        if (last && Py_REFCNT(last) == 1) { /* nothing else has it */
            ((PyFloatObject *)last)->ob_fval = real;
            return last;
        }
        Py_XDECREF(last);
        return PyFloat_FromDouble(real);
    }
    Py_XDECREF(last);
    return storage == STORAGE_INT64 ? PyLong_FromLongLong(((const int64_t *)column->data)[row])
                                    : text_of_row(column, row);
}

static inline bool put_ascii(struct block *block, int64_t row, PyObject *text)
{
    const uint64_t begin = block->data_bytes, length = (uint64_t)PyUnicode_GET_LENGTH(text);
    if (length > MAX_INLINE || length > INT32_MAX - begin)
        return false;
    block->data_bytes += length;
    if (block_fits(block))
        copy_words((char *)block->output + block->data + begin,
                   (const char *)PyUnicode_1BYTE_DATA(text), length);
    ((int32_t *)(block->output + block->offsets))[row + 1] = (int32_t)block->data_bytes;
    return true;
}

static inline bool put_integer(struct block *block, int64_t row, PyObject *object)
{
    int overflow;
    const int64_t integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    ((int64_t *)(block->output + block->data))[row] = integer;
    return !overflow;
}

/* Puts a result that needs no check but that of its class. Returns false for any other. */
static inline bool put_common(const struct value_slot *slot, PyObject *object, struct block *block,
                              int64_t row)
{
    if (!slot->direct)
        return false;
    if (slot->storage == STORAGE_FLOAT64 && PyFloat_CheckExact(object)) {
        ((double *)(block->output + block->data))[row] = PyFloat_AS_DOUBLE(object);
        return true;
    }
    if (slot->storage == STORAGE_INT64 && PyLong_CheckExact(object))
        return put_integer(block, row, object);
    return slot->storage == STORAGE_TEXT32 && PyUnicode_CheckExact(object) &&
           PyUnicode_IS_COMPACT_ASCII(object) && put_ascii(block, row, object);
}

#endif
