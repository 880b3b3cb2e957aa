/* Replies that are numbers alone, without nulls: where these lie. */
#ifndef UDFVM_NUMBER_REPLIES_H
#define UDFVM_NUMBER_REPLIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* What a udfvm.codec.number_streams.NumberLayout says of replies. The head lives as long as the
 * layout. */
struct reply_layout {
    const char *head; /* of the usual reply */
    size_t head_length;
    uint64_t data, length; /* of the usual reply: the offset of its numbers, and its length */
    uint64_t size;         /* of the numbers, in bytes */
    size_t body_field, offset_field; /* where the head has the body's length, and the offset in it
                                        of the numbers */
};

struct reply_layout reply_layout_of(PyObject *layout);

/* Whether a reply has all numbers, at the usual place or at its end, behind a gap, and nothing else
 * that is to be read: then they begin at *begin. It does not change meanwhile. No lock is needed.
 * See udfvm.codec.number_streams.NumberReplies. */
bool reply_has_numbers(const struct reply_layout *layout, const void *reply, uint64_t length,
                       uint64_t *begin);

#endif
