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

static const char *take(const wasmtime_component_valtype *type, bool result, unsigned depth,
                        struct component_kind *kind);

static bool take_leaf(const wasmtime_component_valtype *type, struct component_kind *kind)
{
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (leaves[i].type == type->kind) {
            kind->form = leaves[i].form;
            kind->storage = leaves[i].storage;
            kind->value = (uint8_t)leaves[i].value;
            return true;
        }
    return false;
}

static void give_children(struct component_kind *kind, enum component_form form,
                          enum storage storage, size_t count)
{
    kind->form = form;
    kind->storage = storage;
    kind->count = count;
    kind->children = calloc(count ? count : 1, sizeof *kind->children);
    if (!kind->children)
        abort();
}

static void give_name(struct component_kind *kind, const char *name, size_t length)
{
    kind->name = strndup(name, length);
    if (!kind->name)
        abort();
}

static const char *take_list(const wasmtime_component_valtype *type, bool result, unsigned depth,
                             struct component_kind *kind)
{
    wasmtime_component_valtype element;
    const char *wrong = NULL;
    wasmtime.wasmtime_component_list_type_element(type->of.list, &element);
    if (element.kind == COMPONENT_TYPE_U8) {
        kind->form = FORM_BYTES;
        kind->storage = STORAGE_BYTES32;
    } else {
        give_children(kind, FORM_LIST, STORAGE_LIST, 1);
        wrong = take(&element, result, depth + 1, kind->children);
    }
    wasmtime.wasmtime_component_valtype_delete(&element);
    return wrong;
}

static const char *take_record(const wasmtime_component_valtype *type, bool result, unsigned depth,
                               struct component_kind *kind)
{
    const char *wrong = NULL, *name;
    wasmtime_component_valtype field;
    size_t length;
    give_children(kind, FORM_RECORD, STORAGE_STRUCT,
                  wasmtime.wasmtime_component_record_type_field_count(type->of.record));
    for (size_t i = 0; i < kind->count && !wrong; i++) {
        wasmtime.wasmtime_component_record_type_field_nth(type->of.record, i, &name, &length,
                                                          &field);
        give_name(&kind->children[i], name, length);
        wrong = take(&field, result, depth + 1, &kind->children[i]);
        wasmtime.wasmtime_component_valtype_delete(&field);
    }
    return wrong;
}

static const char *take_tuple(const wasmtime_component_valtype *type, bool result, unsigned depth,
                              struct component_kind *kind)
{
    const char *wrong = NULL;
    wasmtime_component_valtype field;
    char name[24];
    give_children(kind, FORM_TUPLE, STORAGE_STRUCT,
                  wasmtime.wasmtime_component_tuple_type_types_count(type->of.tuple));
    for (size_t i = 0; i < kind->count && !wrong; i++) {
        wasmtime.wasmtime_component_tuple_type_types_nth(type->of.tuple, i, &field);
        give_name(&kind->children[i], name, (size_t)snprintf(name, sizeof name, "%zu", i));
        wrong = take(&field, result, depth + 1, &kind->children[i]);
        wasmtime.wasmtime_component_valtype_delete(&field);
    }
    return wrong;
}

static const char *take_option(const wasmtime_component_valtype *type, bool result, unsigned depth,
                               struct component_kind *kind)
{
    wasmtime_component_valtype inner;
    wasmtime.wasmtime_component_option_type_ty(type->of.option, &inner);
    const char *wrong = take(&inner, result, depth + 1, kind);
    wasmtime.wasmtime_component_valtype_delete(&inner);
    kind->options++;
    return wrong;
}

static const char *take(const wasmtime_component_valtype *type, bool result, unsigned depth,
                        struct component_kind *kind)
{
    if (depth >= MAX_TYPE_DEPTH)
        return "types that are nested too deep";
    if (take_leaf(type, kind))
        return NULL;
    switch (type->kind) {
    case COMPONENT_TYPE_LIST:
        return take_list(type, result, depth, kind);
    case COMPONENT_TYPE_RECORD:
        return take_record(type, result, depth, kind);
    case COMPONENT_TYPE_TUPLE:
        return take_tuple(type, result, depth, kind);
    case COMPONENT_TYPE_OPTION:
        return take_option(type, result, depth, kind);
    case COMPONENT_TYPE_VARIANT:
    case COMPONENT_TYPE_RESULT:
        kind->form = FORM_JSON;
        kind->storage = STORAGE_TEXT32;
        return result ? NULL : "a variant or result, which can only be returned";
    default:
        return "a resource, future, stream, map or list of fixed length";
    }
}

const char *component_kind_take(const wasmtime_component_valtype *type, bool result,
                                struct component_kind *kind)
{
    wasmtime_component_valtype inner;
    *kind = (struct component_kind){ 0 };
    if (!result || type->kind != COMPONENT_TYPE_RESULT ||
        !wasmtime.wasmtime_component_result_type_ok(type->of.result, &inner))
        return take(type, result, 0, kind);
    const char *wrong = take(&inner, result, 0, kind);
    kind->fallible = true;
    wasmtime.wasmtime_component_valtype_delete(&inner);
    return wrong;
}

void component_kind_clear(struct component_kind *kind)
{
    for (size_t i = 0; i < kind->count; i++)
        component_kind_clear(&kind->children[i]);
    free(kind->children);
    free(kind->name);
    *kind = (struct component_kind){ 0 };
}

static void describe(const struct component_kind *kind, struct type *type)
{
    type->storage = kind->storage;
    if (kind->name)
        type_give_name(type, kind->name, strlen(kind->name));
    if (!storage_is_nested(kind->storage))
        return;
    type_give_children(type, kind->storage, kind->form == FORM_FLAGS ? 1 : kind->count);
    if (kind->form == FORM_FLAGS)
        type->children->storage = STORAGE_TEXT32;
    for (size_t i = 0; i < kind->count; i++)
        describe(&kind->children[i], &type->children[i]);
}

struct type *component_kind_type(const struct component_kind *kind)
{
    struct type *type = calloc(1, sizeof *type);
    if (!type)
        abort();
    describe(kind, type);
    return type;
}
