/* See host_nested.h. */
#include "wasm/host_nested.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/json.h"

static const struct type *type_of(const struct host_slot *slot)
{
    return slot->stream->builder.type;
}

bool host_slot_is_natural(const struct host_slot *slot)
{
    return slot->type == UDFVM_TYPE_ARROW && slot->stream &&
           !storage_is_nested(type_of(slot)->storage);
}

bool host_slot_has_bytes(const struct host_slot *slot)
{
    return slot->type == UDFVM_TYPE_TEXT || slot->type == UDFVM_TYPE_BLOB ||
           (slot->type == UDFVM_TYPE_ARROW && !host_slot_is_natural(slot));
}

const char *host_nested_take(const struct host_slot *slot, struct bytes *made,
                             struct host_value *value)
{
    struct builder *builder = &slot->stream->builder;
    builder_clear(builder);
    if (host_slot_is_natural(slot)) {
        builder_number(builder, &value->integer);
    } else if (!json_read(builder, value->bytes, value->length)) {
        failure_explain("an argument ", "");
        return failure_message();
    }
    host_slot_write(slot, made);
    value->bytes = (const char *)made->at;
    value->length = made->length;
    return NULL;
}

const char *host_nested_make(const struct host_slot *slot, struct host_value *value)
{
    static struct bytes text;
    const struct column *column = host_slot_read(slot, value->bytes, value->length);
    text.length = 0;
    if (!column)
        return "its result cannot be read";
    if (host_slot_is_natural(slot)) {
        value->type = UDFVM_TYPE_INT64;
        value->integer = stored_integer(STORAGE_UINT64, column->data, 0);
        return NULL;
    }
    if (!json_write(type_of(slot), column, 0, &text))
        return failure_message();
    value->type = UDFVM_TYPE_TEXT;
    value->bytes = (const char *)text.at;
    value->length = text.length;
    return NULL;
}
