/* See host_calls.h. */
#include "native/host_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native/nested_value.h"
#include "native/services.h"
#include "shared/compiled/host_offer.h"
#include "shared/compiled/host_value.h"

static struct host_function *functions;
static size_t function_count;
static char message[512]; /* of a call that cannot be */

/* ---- Descriptions ---- */

bool host_calls_describe(const uint8_t *at, size_t length)
{
    uint32_t lengths[2];
    while (length > 0) {
        if (length < sizeof lengths)
            return false;
        memcpy(lengths, at, sizeof lengths);
        at += sizeof lengths;
        length -= sizeof lengths;
        const size_t both = (size_t)lengths[0] + lengths[1];
        functions = realloc(functions, (function_count + 1) * sizeof *functions);
        if (!functions)
            abort();
        if (both > length || !host_function_take(&functions[function_count++], at, lengths[0],
                                                 at + lengths[0], lengths[1]))
            return false;
        at += both;
        length -= both;
    }
    return true;
}

static const struct host_function *find(const char *name)
{
    for (size_t i = 0; i < function_count; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

/* ---- Arguments ---- */

/* Returns NULL if the described type is that of the slot; else a message. `what` is the argument or
 * result. */
static const char *check_type(const struct host_slot *slot, const struct udfvm_type *described,
                              const char *what)
{
    struct type *type = nested_type(described, what);
    const bool fits = type && slot && slot->type == UDFVM_TYPE_ARROW &&
                      host_slot_has_type(slot, type);
    struct bytes name = { 0 };
    if (type)
        type_write(type, &name);
    bytes_put(&name, "", 1);
    if (!fits)
        snprintf(message, sizeof message,
                 "%s is of type %.200s, and that of the function is %.200s", what,
                 (const char *)name.at, slot && slot->name ? slot->name : "no list or struct");
    bytes_free(&name);
    type_delete(type);
    return fits ? NULL : message;
}

static const char *take_nested(const struct host_function *function,
                               const struct udfvm_any *argument, size_t index, struct bytes *made,
                               struct host_value *value)
{
    const struct host_slot *slot = function && index < function->count
                                       ? &function->parameters[index]
                                       : NULL;
    char what[32];
    snprintf(what, sizeof what, "argument %zu", index + 1);
    const char *wrong = check_type(slot, argument->nested, what);
    if (wrong)
        return wrong;
    builder_clear(&slot->stream->builder);
    if (!nested_append(argument->nested, argument->value, &slot->stream->builder))
        return "an argument has text that is not valid UTF-8, a length without data, or too much";
    *value = (struct host_value){ .type = UDFVM_TYPE_NULL };
    if (slot->stream->builder.nulls > 0)
        return NULL;
    host_slot_write(slot, made);
    *value = (struct host_value){ .type = UDFVM_TYPE_ARROW,
                                  .bytes = (const char *)made->at,
                                  .length = made->length };
    return NULL;
}

static const char *take(const struct host_function *function, const struct udfvm_any *argument,
                        size_t index, struct bytes *made, struct host_value *value)
{
    if (argument->type == UDFVM_TYPE_ARROW)
        return take_nested(function, argument, index, made, value);
    *value = (struct host_value){ .type = argument->type,
                                  .integer = argument->integer,
                                  .bytes = argument->bytes.data,
                                  .length = argument->bytes.length };
    if (argument->type == UDFVM_TYPE_FLOAT64)
        value->real = argument->real;
    return NULL;
}

/* ---- Results ---- */

static const char *copy(const struct host_value *value)
{
    char *made = services_allocate(value->length + 1);
    if (value->length > 0)
        memcpy(made, value->bytes, value->length);
    return made;
}

/* Stores a value that is no list or struct as a type of C. */
static const char *give_scalar(const struct host_value *value, const struct udfvm_type *described,
                               void *to)
{
    const enum storage storage = (enum storage)(described->storage & 0xff);
    const bool optional = described->storage & UDFVM_OPTIONAL;
    uint8_t *at = (uint8_t *)to + described->value;
    memset(to, 0, described->size);
    if (value->type == UDFVM_TYPE_NULL)
        return optional ? NULL : "it returned None: ask for an optional type";
    *(bool *)to = optional;
    if (storage_row_type(storage) != value->type || storage_is_nested(storage))
        return "its result is of another type than is asked for";
    if (storage_is_variable(storage))
        *(struct udfvm_bytes *)at = (struct udfvm_bytes){ copy(value), value->length };
    else if (storage == STORAGE_FLOAT32)
        *(float *)at = (float)value->real;
    else if (storage_is_real(storage))
        *(double *)at = value->real;
    else if (storage == STORAGE_BOOL)
        *(bool *)at = value->integer != 0;
    else if (!storage_holds(storage, value->integer))
        return "its result is out of range of the type that is asked for";
    else
        memcpy(at, &value->integer, storage_width(storage)); /* little endian */
    return NULL;
}

static const char *give_nested(const struct host_function *function, const struct host_value *value,
                               const struct udfvm_type *described, void *to)
{
    const char *field = NULL, *wrong = check_type(&function->result, described, "the result");
    if (wrong)
        return wrong;
    const struct column *column = host_slot_read(&function->result, copy(value), value->length);
    if (!column)
        return "its result cannot be read";
    if (nested_wrong_null(described, column, 0, 1, NULL, &field) == 0) {
        snprintf(message, sizeof message,
                 "%.100s of its result is null, and its type is not optional",
                 field ? field : "the whole");
        return message;
    }
    nested_read(described, column, 0, to, services_allocate);
    return NULL;
}

static const char *give(const struct host_function *function, const struct host_value *value,
                        struct udfvm_any *result)
{
    if (result->type == UDFVM_TYPE_ARROW && value->type == UDFVM_TYPE_ARROW && function)
        return give_nested(function, value, result->nested, result->value);
    if (result->type == UDFVM_TYPE_ARROW)
        return give_scalar(value, result->nested, result->value);
    if (value->type == UDFVM_TYPE_ARROW)
        return "its result is a list or struct, or uint64: call it by udfvm_call_host_value()";
    *result = (struct udfvm_any){ .type = value->type };
    if (value->type == UDFVM_TYPE_TEXT || value->type == UDFVM_TYPE_BLOB)
        result->bytes = (struct udfvm_bytes){ copy(value), value->length };
    else if (value->type == UDFVM_TYPE_FLOAT64)
        result->real = value->real;
    else
        result->integer = value->integer;
    return NULL;
}

const char *host_calls_call(const char *name, const struct udfvm_any *arguments, size_t count,
                            struct udfvm_any *result)
{
    const struct host_function *function = find(name);
    struct host_value value, *values = calloc(count + 1, sizeof *values);
    struct bytes *made = calloc(count + 1, sizeof *made);
    const char *wrong = NULL;
    if (!values || !made)
        abort();
    for (size_t i = 0; i < count && !wrong; i++)
        wrong = take(function, &arguments[i], i, &made[i], &values[i]);
    if (!wrong)
        wrong = host_value_call(name, values, count, &value);
    if (!wrong)
        wrong = give(function, &value, result);
    for (size_t i = 0; i < count; i++)
        bytes_free(&made[i]);
    free(made);
    free(values);
    return wrong;
}
