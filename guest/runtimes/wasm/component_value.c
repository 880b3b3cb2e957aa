/* See component_value.h. */
#include "wasm/component_value.h"

#include <string.h>

#include "wasm/component_json.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/characters.h"
#include "utf8.h"

#define MAX_SHOWN 1800 /* bytes of a message */

/* ---- Arguments ---- */

static bool make(const struct component_type *type, unsigned options, const struct column *column,
                 int64_t row, wasmtime_component_val *value);

/* Initialises values so that deleting them is harmless. */
static void make_nothing(wasmtime_component_val *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (wasmtime_component_val){ .kind = COMPONENT_BOOL };
}

static void make_bytes(const char *bytes, size_t length, wasmtime_component_val *value)
{
    value->kind = COMPONENT_LIST;
    wasmtime.wasmtime_component_vallist_new_uninit(&value->of.list, length);
    for (size_t i = 0; i < length; i++)
        value->of.list.data[i] = (wasmtime_component_val){ .kind = COMPONENT_U8,
                                                           .of.u8 = (uint8_t)bytes[i] };
}

static bool make_character(const struct scalar *text, wasmtime_component_val *value)
{
    if (text->length == 0 || utf8_sequence(text->bytes, text->length) != text->length)
        return failure_set("ValueError", "is '%.*s', which is not one character",
                           text->length > MAX_SHOWN ? MAX_SHOWN : (int)text->length, text->bytes);
    *value = (wasmtime_component_val){ .kind = COMPONENT_CHAR,
                                       .of.character = utf8_decode(text->bytes, text->length) };
    return true;
}

static bool make_simple(const struct component_type *type, const struct column *column, int64_t row,
                        wasmtime_component_val *value)
{
    const size_t width = storage_width(type->storage);
    *value = (wasmtime_component_val){ .kind = type->value };
    if (storage_is_variable(type->storage)) {
        const struct scalar text = column_bytes(column, row);
        if (type->form == FORM_CHARACTER)
            return make_character(&text, value);
        if (type->form == FORM_BYTES)
            make_bytes(text.bytes, text.length, value);
        else
            wasmtime.wasm_byte_vec_new(&value->of.string, text.length, text.bytes);
    } else if (type->storage == STORAGE_BOOL) {
        value->of.boolean = bitmap_get(column->data, row);
    } else {
        memcpy(&value->of, column->data + (size_t)row * width, width);
    }
    return true;
}

static bool make_list(const struct component_type *type, const struct column *column, int64_t row,
                      wasmtime_component_val *value)
{
    const int32_t *offsets = (const int32_t *)column->offsets + row;
    const size_t count = (size_t)(offsets[1] - offsets[0]);
    value->kind = COMPONENT_LIST;
    wasmtime.wasmtime_component_vallist_new_uninit(&value->of.list, count);
    make_nothing(value->of.list.data, count);
    for (size_t i = 0; i < count; i++)
        if (!make(type->children, type->children->options, column->children,
                  offsets[0] + (int64_t)i, &value->of.list.data[i]))
            return false;
    return true;
}

static bool make_record(const struct component_type *type, const struct column *column, int64_t row,
                        wasmtime_component_val *value)
{
    value->kind = COMPONENT_RECORD;
    wasmtime.wasmtime_component_valrecord_new_uninit(&value->of.record, type->count);
    for (size_t i = 0; i < type->count; i++) {
        struct wasmtime_component_field *field = &value->of.record.data[i];
        wasmtime.wasm_byte_vec_new(&field->name, strlen(type->children[i].name),
                                   type->children[i].name);
        make_nothing(&field->value, 1);
    }
    for (size_t i = 0; i < type->count; i++)
        if (!make(&type->children[i], type->children[i].options, &column->children[i], row,
                  &value->of.record.data[i].value))
            return false;
    return true;
}

static bool make_tuple(const struct component_type *type, const struct column *column, int64_t row,
                       wasmtime_component_val *value)
{
    value->kind = COMPONENT_TUPLE;
    wasmtime.wasmtime_component_valtuple_new_uninit(&value->of.list, type->count);
    make_nothing(value->of.list.data, type->count);
    for (size_t i = 0; i < type->count; i++)
        if (!make(&type->children[i], type->children[i].options, &column->children[i], row,
                  &value->of.list.data[i]))
            return false;
    return true;
}

static bool wrong_null(const char *field)
{
    return failure_set("TypeError", "is not valid: %s%s is null, and its type is not an option",
                       field ? "the field " : "an item", field ? field : "");
}

static bool make_flags(const struct column *column, int64_t row, wasmtime_component_val *value)
{
    bool nulls = false;
    const int32_t *offsets = (const int32_t *)column->offsets + row;
    const size_t count = (size_t)(offsets[1] - offsets[0]);
    value->kind = COMPONENT_FLAGS;
    wasmtime.wasmtime_component_valflags_new_uninit(&value->of.flags, count);
    for (size_t i = 0; i < count; i++) {
        const struct scalar name = column_bytes(column->children, offsets[0] + (int64_t)i);
        const bool null = column_is_null(column->children, offsets[0] + (int64_t)i);
        wasmtime.wasm_byte_vec_new(&value->of.flags.data[i], null ? 0 : name.length, name.bytes);
        nulls |= null;
    }
    return !nulls || wrong_null(NULL);
}

static bool make(const struct component_type *type, unsigned options, const struct column *column,
                 int64_t row, wasmtime_component_val *value)
{
    wasmtime_component_val inner;
    const bool null = column_is_null(column, row);
    if (options > 0) {
        *value = (wasmtime_component_val){ .kind = COMPONENT_OPTION };
        if (null)
            return true;
        make_nothing(&inner, 1);
        const bool made = make(type, options - 1, column, row, &inner);
        value->of.option = wasmtime.wasmtime_component_val_new(
            &inner); /* takes over the inner value */
        return made;
    }
    if (null)
        return wrong_null(type->name);
    switch (type->form) {
    case FORM_LIST:
        return make_list(type, column, row, value);
    case FORM_RECORD:
        return make_record(type, column, row, value);
    case FORM_TUPLE:
        return make_tuple(type, column, row, value);
    case FORM_FLAGS:
        return make_flags(column, row, value);
    default:
        return make_simple(type, column, row, value);
    }
}

bool component_value_make(const struct component_type *type, const struct column *column,
                          int64_t row, wasmtime_component_val *value)
{
    make_nothing(value, 1);
    return make(type, type->options, column, row, value);
}

/* Makes a value of a host function, without the type's options. */
static bool return_simple(const struct component_type *type, const struct scalar *scalar,
                          wasmtime_component_val *value)
{
    const float narrow = (float)scalar->real;
    *value = (wasmtime_component_val){ .kind = type->value };
    if (type->form == FORM_CHARACTER)
        return make_character(scalar, value);
    if (type->form == FORM_BYTES)
        make_bytes(scalar->bytes, scalar->length, value);
    else if (storage_is_variable(type->storage))
        wasmtime.wasm_byte_vec_new(&value->of.string, scalar->length, scalar->bytes);
    else if (type->storage == STORAGE_FLOAT32)
        value->of.f32 = narrow;
    else if (storage_is_real(type->storage))
        value->of.f64 = scalar->real;
    else if (type->storage == STORAGE_BOOL)
        value->of.boolean = scalar->integer != 0;
    else if (storage_holds(type->storage, scalar->integer))
        value->of.s64 = scalar->integer; /* little endian: all integers begin there */
    else
        return false;
    return true;
}

/* Puts a whole result into the result<...> that the type may be. */
static void make_fallible(const struct component_type *type, wasmtime_component_val *value)
{
    wasmtime_component_val inner = *value;
    if (!type->fallible)
        return;
    *value = (wasmtime_component_val){ .kind = COMPONENT_RESULT, .of.result.is_ok = true };
    value->of.result.value = wasmtime.wasmtime_component_val_new(&inner);
}

bool component_value_return_row(const struct component_type *type, const struct column *column,
                                int64_t row, wasmtime_component_val *value)
{
    const bool made = component_value_make(type, column, row, value);
    make_fallible(type, value);
    return made;
}

bool component_value_return(const struct component_type *type, const struct scalar *scalar,
                            wasmtime_component_val *value)
{
    wasmtime_component_val inner;
    bool made = true;
    make_nothing(&inner, 1);
    if (scalar->null)
        inner = (wasmtime_component_val){ .kind = COMPONENT_OPTION };
    else
        made = return_simple(type, scalar, &inner);
    if (!scalar->null && type->options > 0) {
        *value = (wasmtime_component_val){ .kind = COMPONENT_OPTION };
        value->of.option = wasmtime.wasmtime_component_val_new(&inner);
        inner = *value;
    }
    *value = inner;
    make_fallible(type, value);
    return made;
}

/* ---- Results ---- */

/* Returns the value inside the options; NULL if one of them is none. */
static const wasmtime_component_val *some(const struct component_type *type,
                                          const wasmtime_component_val *value)
{
    for (unsigned i = 0; i < type->options && value; i++)
        value = value->of.option;
    return value;
}

/* Returns the bytes of a value that is stored as text or bytes. */
static struct scalar bytes_of(const struct component_type *type,
                              const wasmtime_component_val *value, struct bytes *made)
{
    made->length = 0;
    switch (type->form) {
    case FORM_JSON:
        component_json(value, made);
        break;
    case FORM_CHARACTER:
        made->length = utf8_encode(value->of.character,
                                   (char *)bytes_extend(made, UTF8_MAX_SEQUENCE));
        break;
    case FORM_BYTES: {
        uint8_t *at = bytes_extend(made, value->of.list.size);
        for (size_t i = 0; i < value->of.list.size; i++)
            at[i] = value->of.list.data[i].of.u8;
        break;
    }
    default:
        return (struct scalar){ .bytes = value->of.string.data, .length = value->of.string.size };
    }
    return (struct scalar){ .bytes = (const char *)made->at, .length = made->length };
}

static struct scalar number_of(const wasmtime_component_val *value)
{
    switch (value->kind) {
    case COMPONENT_BOOL:
        return (struct scalar){ .integer = value->of.boolean };
    case COMPONENT_S8:
        return (struct scalar){ .integer = value->of.s8 };
    case COMPONENT_U8:
        return (struct scalar){ .integer = value->of.u8 };
    case COMPONENT_S16:
        return (struct scalar){ .integer = value->of.s16 };
    case COMPONENT_U16:
        return (struct scalar){ .integer = value->of.u16 };
    case COMPONENT_S32:
        return (struct scalar){ .integer = value->of.s32 };
    case COMPONENT_U32:
        return (struct scalar){ .integer = value->of.u32 };
    case COMPONENT_F32:
        return (struct scalar){ .real = (double)value->of.f32 };
    case COMPONENT_F64:
        return (struct scalar){ .real = value->of.f64 };
    default:
        return (struct scalar){ .integer = value->of.s64 };
    }
}

struct scalar component_value_scalar(const struct component_type *type,
                                     const wasmtime_component_val *value, struct bytes *made)
{
    value = some(type, value);
    return !value                               ? (struct scalar){ .null = true }
           : storage_is_variable(type->storage) ? bytes_of(type, value, made)
                                                : number_of(value);
}

static bool too_large(void)
{
    return failure_set("OverflowError", "the results of this batch are too large for one column");
}

bool component_value_put(const struct component_type *type, const wasmtime_component_val *value,
                         struct bytes *made, struct block *block, int64_t row)
{
    const struct scalar scalar = component_value_scalar(type, value, made);
    return block_put(block, row, &scalar) || too_large();
}

static bool append_list(const struct component_type *type, const wasmtime_component_val *value,
                        struct bytes *made, struct builder *builder)
{
    for (size_t i = 0; i < value->of.list.size; i++)
        if (!component_value_append(type->children, &value->of.list.data[i], made,
                                    builder->children))
            return false;
    return builder_list(builder) || too_large();
}

static bool append_fields(const struct component_type *type, const wasmtime_component_val *value,
                          struct bytes *made, struct builder *builder)
{
    builder_struct(builder);
    for (size_t i = 0; i < type->count; i++) {
        const wasmtime_component_val *field = type->form == FORM_TUPLE
                                                  ? &value->of.list.data[i]
                                                  : &value->of.record.data[i].value;
        if (!component_value_append(&type->children[i], field, made, &builder->children[i]))
            return false;
    }
    return true;
}

static bool append_flags(const wasmtime_component_val *value, struct builder *builder)
{
    for (size_t i = 0; i < value->of.flags.size; i++)
        if (!builder_bytes(builder->children, value->of.flags.data[i].data,
                           value->of.flags.data[i].size))
            return too_large();
    return builder_list(builder) || too_large();
}

bool component_value_append(const struct component_type *type, const wasmtime_component_val *value,
                            struct bytes *made, struct builder *builder)
{
    value = some(type, value);
    if (!value) {
        builder_null(builder);
        return true;
    }
    switch (type->form) {
    case FORM_LIST:
        return append_list(type, value, made, builder);
    case FORM_RECORD:
    case FORM_TUPLE:
        return append_fields(type, value, made, builder);
    case FORM_FLAGS:
        return append_flags(value, builder);
    default:
        break;
    }
    if (storage_is_variable(type->storage)) {
        const struct scalar bytes = bytes_of(type, value, made);
        return builder_bytes(builder, bytes.bytes, bytes.length) || too_large();
    }
    builder_number(builder,
                   &value->of); /* little endian: every number begins at the union's start */
    return true;
}
