/* See host_offer.h. */
#include "shared/compiled/host_offer.h"

#include <stdlib.h>
#include <string.h>

/* ---- Descriptions ---- */

struct rest {
    const uint8_t *at;
    size_t length;
};

static const uint8_t *take(struct rest *rest, size_t length)
{
    const uint8_t *taken = rest->at;
    if (length > rest->length)
        return NULL;
    rest->at += length;
    rest->length -= length;
    return taken;
}

static char *copy(const uint8_t *text, size_t length)
{
    char *made = strndup((const char *)text, length);
    if (!made)
        abort();
    return made;
}

static bool take_stream(struct rest *rest, struct host_slot *slot)
{
    enum { NAME, SCHEMA, TEMPLATE, COUNT };
    uint32_t lengths[COUNT];
    const uint8_t *texts[COUNT], *head = take(rest, sizeof lengths);
    if (!head)
        return false;
    memcpy(lengths, head, sizeof lengths);
    for (size_t i = 0; i < COUNT; i++)
        if (!(texts[i] = take(rest, lengths[i])))
            return false;
    slot->name = copy(texts[NAME], lengths[NAME]);
    struct type *type = type_parse(slot->name, lengths[NAME]);
    if (type)
        slot->stream = column_stream_new(type, texts[SCHEMA], lengths[SCHEMA], texts[TEMPLATE],
                                         lengths[TEMPLATE]);
    if (!slot->stream)
        type_delete(type);
    return true;
}

static bool take_slot(struct rest *rest, struct host_slot *slot)
{
    const uint8_t *head = take(rest, 2);
    if (!head)
        return false;
    *slot = (struct host_slot){ .type = head[0], .nullable = head[1] != 0 };
    return slot->type != UDFVM_TYPE_ARROW || take_stream(rest, slot);
}

bool host_function_take(struct host_function *function, const uint8_t *name, size_t name_length,
                        const uint8_t *slots, size_t length)
{
    struct rest rest = { slots, length };
    *function = (struct host_function){ .name = copy(name, name_length) };
    bool taken = take_slot(&rest, &function->result);
    while (taken && rest.length > 0) {
        function->parameters = realloc(function->parameters,
                                       (function->count + 1) * sizeof *function->parameters);
        if (!function->parameters)
            abort();
        taken = take_slot(&rest, &function->parameters[function->count]);
        function->count += taken;
    }
    return taken;
}

void host_function_free(struct host_function *function)
{
    free(function->result.name);
    for (size_t i = 0; i < function->count; i++)
        free(function->parameters[i].name);
    free(function->parameters);
    free(function->name);
}

/* ---- Values ---- */

static bool same_name(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    return *a == *b;
}

static bool same_type(const struct type *a, const struct type *b)
{
    if (a->storage != b->storage || a->count != b->count || !same_name(a->name, b->name))
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_type(&a->children[i], &b->children[i]))
            return false;
    return true;
}

bool host_slot_has_type(const struct host_slot *slot, const struct type *type)
{
    return slot->stream && same_type(slot->stream->builder.type, type);
}

void host_slot_write(const struct host_slot *slot, struct bytes *to)
{
    to->length = 0;
    const uint64_t length = column_stream_end(slot->stream, NULL, 0);
    column_stream_end(slot->stream, bytes_extend(to, length), length);
}

const struct column *host_slot_read(const struct host_slot *slot, const void *bytes, size_t length)
{
    int64_t rows;
    return stream_read_column(bytes, length, &slot->stream->column, &rows) && rows == 1
               ? &slot->stream->column
               : NULL;
}
