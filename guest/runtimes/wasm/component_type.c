/* See component_type.h. */
#include "wasm/component_type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum wasmtime_component_type type;
    enum wasmtime_component_value value;
    enum storage storage;
    enum component_form form;
} leaves[] = {
    { COMPONENT_TYPE_BOOL, COMPONENT_BOOL, STORAGE_BOOL, FORM_SIMPLE },
    { COMPONENT_TYPE_S8, COMPONENT_S8, STORAGE_INT8, FORM_SIMPLE },
    { COMPONENT_TYPE_S16, COMPONENT_S16, STORAGE_INT16, FORM_SIMPLE },
    { COMPONENT_TYPE_S32, COMPONENT_S32, STORAGE_INT32, FORM_SIMPLE },
    { COMPONENT_TYPE_S64, COMPONENT_S64, STORAGE_INT64, FORM_SIMPLE },
    { COMPONENT_TYPE_U8, COMPONENT_U8, STORAGE_UINT8, FORM_SIMPLE },
    { COMPONENT_TYPE_U16, COMPONENT_U16, STORAGE_UINT16, FORM_SIMPLE },
    { COMPONENT_TYPE_U32, COMPONENT_U32, STORAGE_UINT32, FORM_SIMPLE },
    { COMPONENT_TYPE_U64, COMPONENT_U64, STORAGE_UINT64, FORM_SIMPLE },
    { COMPONENT_TYPE_F32, COMPONENT_F32, STORAGE_FLOAT32, FORM_SIMPLE },
    { COMPONENT_TYPE_F64, COMPONENT_F64, STORAGE_FLOAT64, FORM_SIMPLE },
    { COMPONENT_TYPE_STRING, COMPONENT_STRING, STORAGE_TEXT32, FORM_SIMPLE },
    { COMPONENT_TYPE_CHAR, COMPONENT_CHAR, STORAGE_TEXT32, FORM_CHARACTER },
    { COMPONENT_TYPE_ENUM, COMPONENT_ENUM, STORAGE_TEXT32, FORM_ENUM },
    { COMPONENT_TYPE_FLAGS, COMPONENT_FLAGS, STORAGE_LIST, FORM_FLAGS },
};

static const char *take(const wasmtime_component_valtype *from, bool result, unsigned depth,
                        struct component_type *type);

static bool take_leaf(const wasmtime_component_valtype *from, struct component_type *type)
{
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (leaves[i].type == from->kind) {
            type->form = leaves[i].form;
            type->storage = leaves[i].storage;
            type->value = (uint8_t)leaves[i].value;
            return true;
        }
    return false;
}

static void give_children(struct component_type *type, enum component_form form,
                          enum storage storage, size_t count)
{
    type->form = form;
    type->storage = storage;
    type->count = count;
    type->children = calloc(count ? count : 1, sizeof *type->children);
    if (!type->children)
        abort();
}

static void give_name(struct component_type *type, const char *name, size_t length)
{
    type->name = strndup(name, length);
    if (!type->name)
        abort();
}

static const char *take_list(const wasmtime_component_valtype *from, bool result, unsigned depth,
                             struct component_type *type)
{
    wasmtime_component_valtype element;
    const char *wrong = NULL;
    wasmtime.wasmtime_component_list_type_element(from->of.list, &element);
    if (element.kind == COMPONENT_TYPE_U8) {
        type->form = FORM_BYTES;
        type->storage = STORAGE_BYTES32;
    } else {
        give_children(type, FORM_LIST, STORAGE_LIST, 1);
        wrong = take(&element, result, depth + 1, type->children);
    }
    wasmtime.wasmtime_component_valtype_delete(&element);
    return wrong;
}

static const char *take_record(const wasmtime_component_valtype *from, bool result, unsigned depth,
                               struct component_type *type)
{
    const char *wrong = NULL, *name;
    wasmtime_component_valtype field;
    size_t length;
    give_children(type, FORM_RECORD, STORAGE_STRUCT,
                  wasmtime.wasmtime_component_record_type_field_count(from->of.record));
    for (size_t i = 0; i < type->count && !wrong; i++) {
        wasmtime.wasmtime_component_record_type_field_nth(from->of.record, i, &name, &length,
                                                          &field);
        give_name(&type->children[i], name, length);
        wrong = take(&field, result, depth + 1, &type->children[i]);
        wasmtime.wasmtime_component_valtype_delete(&field);
    }
    return wrong;
}

static const char *take_tuple(const wasmtime_component_valtype *from, bool result, unsigned depth,
                              struct component_type *type)
{
    const char *wrong = NULL;
    wasmtime_component_valtype field;
    char name[24];
    give_children(type, FORM_TUPLE, STORAGE_STRUCT,
                  wasmtime.wasmtime_component_tuple_type_types_count(from->of.tuple));
    for (size_t i = 0; i < type->count && !wrong; i++) {
        wasmtime.wasmtime_component_tuple_type_types_nth(from->of.tuple, i, &field);
        give_name(&type->children[i], name, (size_t)snprintf(name, sizeof name, "%zu", i));
        wrong = take(&field, result, depth + 1, &type->children[i]);
        wasmtime.wasmtime_component_valtype_delete(&field);
    }
    return wrong;
}

static const char *take_option(const wasmtime_component_valtype *from, bool result, unsigned depth,
                               struct component_type *type)
{
    wasmtime_component_valtype inner;
    wasmtime.wasmtime_component_option_type_ty(from->of.option, &inner);
    const char *wrong = take(&inner, result, depth + 1, type);
    wasmtime.wasmtime_component_valtype_delete(&inner);
    type->options++;
    return wrong;
}

static const char *take(const wasmtime_component_valtype *from, bool result, unsigned depth,
                        struct component_type *type)
{
    if (depth >= MAX_TYPE_DEPTH)
        return "types that are nested too deep";
    if (take_leaf(from, type))
        return NULL;
    switch (from->kind) {
    case COMPONENT_TYPE_LIST:
        return take_list(from, result, depth, type);
    case COMPONENT_TYPE_RECORD:
        return take_record(from, result, depth, type);
    case COMPONENT_TYPE_TUPLE:
        return take_tuple(from, result, depth, type);
    case COMPONENT_TYPE_OPTION:
        return take_option(from, result, depth, type);
    case COMPONENT_TYPE_VARIANT:
    case COMPONENT_TYPE_RESULT:
        type->form = FORM_JSON;
        type->storage = STORAGE_TEXT32;
        return result ? NULL : "a variant or result, which can only be returned";
    default:
        return "a resource, future, stream, map or list of fixed length";
    }
}

const char *component_type_take(const wasmtime_component_valtype *from, bool result,
                                struct component_type *type)
{
    wasmtime_component_valtype inner;
    *type = (struct component_type){ 0 };
    if (!result || from->kind != COMPONENT_TYPE_RESULT ||
        !wasmtime.wasmtime_component_result_type_ok(from->of.result, &inner))
        return take(from, result, 0, type);
    const char *wrong = take(&inner, result, 0, type);
    type->fallible = true;
    wasmtime.wasmtime_component_valtype_delete(&inner);
    return wrong;
}

void component_type_clear(struct component_type *type)
{
    for (size_t i = 0; i < type->count; i++)
        component_type_clear(&type->children[i]);
    free(type->children);
    free(type->name);
    *type = (struct component_type){ 0 };
}

static void describe(const struct component_type *type, struct type *arrow)
{
    arrow->storage = type->storage;
    if (type->name)
        type_give_name(arrow, type->name, strlen(type->name));
    if (!storage_is_nested(type->storage))
        return;
    type_give_children(arrow, type->storage, type->form == FORM_FLAGS ? 1 : type->count);
    if (type->form == FORM_FLAGS)
        arrow->children->storage = STORAGE_TEXT32;
    for (size_t i = 0; i < type->count; i++)
        describe(&type->children[i], &arrow->children[i]);
}

struct type *component_type_describe(const struct component_type *type)
{
    struct type *arrow = calloc(1, sizeof *arrow);
    if (!arrow)
        abort();
    describe(type, arrow);
    return arrow;
}
