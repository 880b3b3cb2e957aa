#include "number_replies.h"

#include <string.h>

#include "small_calls.h"

enum { MAX_HEAD = 4096 }; /* bytes of what replies begin with; a longer one is left to Python */

static uint64_t number(PyObject *layout, Py_ssize_t index)
{
    return (uint64_t)PyLong_AsSsize_t(PyTuple_GET_ITEM(layout, index));
}

struct reply_layout reply_layout_of(PyObject *layout)
{
    PyObject *head = PyTuple_GET_ITEM(layout, LAYOUT_REPLY_HEAD);
    return (struct reply_layout){
        .head = PyBytes_AS_STRING(head),
        .head_length = (size_t)PyBytes_GET_SIZE(head),
        .data = number(layout, LAYOUT_REPLY_DATA),
        .length = number(layout, LAYOUT_REPLY_LENGTH),
        .size = number(layout, LAYOUT_REPLY_SIZE),
        .body_field = (size_t)number(layout, LAYOUT_REPLY_BODY_FIELD),
        .offset_field = (size_t)number(layout, LAYOUT_REPLY_OFFSET_FIELD),
    };
}

/* Whether a reply begins as one does whose body is so long and has its numbers at this offset. */
static bool begins_so(const struct reply_layout *layout, const void *reply, uint64_t body,
                      uint64_t offset)
{
    char expected[MAX_HEAD];
    if (layout->head_length > sizeof expected)
        return false;
    memcpy(expected, layout->head, layout->head_length);
    memcpy(expected + layout->body_field, &body, sizeof body);
    memcpy(expected + layout->offset_field, &offset, sizeof offset);
    return memcmp(reply, expected, layout->head_length) == 0;
}

bool reply_has_numbers(const struct reply_layout *layout, const void *reply, uint64_t length,
                       uint64_t *begin)
{
    if (length < layout->length)
        return false;
    *begin = layout->data;
    if (length == layout->length && memcmp(reply, layout->head, layout->head_length) == 0)
        return true;
    *begin = length - layout->size;
    return *begin >= layout->length && *begin % 8 == 0 &&
           begins_so(layout, reply, length - layout->head_length, *begin - layout->head_length);
}
