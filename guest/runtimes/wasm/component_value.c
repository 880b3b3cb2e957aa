/* See component_value.h. */
#include "component_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

static const struct { enum wasmtime_component_type type; enum wasmtime_component_value value; enum storage storage; } simple[] = {
    { COMPONENT_TYPE_BOOL, COMPONENT_BOOL, STORAGE_BOOL }, { COMPONENT_TYPE_S8, COMPONENT_S8, STORAGE_INT8 },
    { COMPONENT_TYPE_S16, COMPONENT_S16, STORAGE_INT16 }, { COMPONENT_TYPE_S32, COMPONENT_S32, STORAGE_INT32 },
    { COMPONENT_TYPE_S64, COMPONENT_S64, STORAGE_INT64 }, { COMPONENT_TYPE_U8, COMPONENT_U8, STORAGE_UINT8 },
    { COMPONENT_TYPE_U16, COMPONENT_U16, STORAGE_UINT16 }, { COMPONENT_TYPE_U32, COMPONENT_U32, STORAGE_UINT32 },
    { COMPONENT_TYPE_U64, COMPONENT_U64, STORAGE_UINT64 }, { COMPONENT_TYPE_F32, COMPONENT_F32, STORAGE_FLOAT32 },
    { COMPONENT_TYPE_F64, COMPONENT_F64, STORAGE_FLOAT64 }, { COMPONENT_TYPE_STRING, COMPONENT_STRING, STORAGE_TEXT32 },
};

/* ---- Types ---- */

static bool is_simple(const wasmtime_component_valtype *type, struct component_kind *kind)
{
    wasmtime_component_valtype element;
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (simple[i].type == type->kind) {
            kind->storage = simple[i].storage;
            kind->value = (uint8_t)simple[i].value;
            return true;
        }
    if (type->kind != COMPONENT_TYPE_LIST)
        return false;
    wasmtime.wasmtime_component_list_type_element(type->of.list, &element);
    const bool bytes = element.kind == COMPONENT_TYPE_U8;
    wasmtime.wasmtime_component_valtype_delete(&element);
    kind->storage = STORAGE_BYTES32;
    kind->value = COMPONENT_LIST;
    return bytes;
}

/* Whether a type has values that JSON can say. */
static bool is_plain(const wasmtime_component_valtype *type)
{
    return type->kind <= COMPONENT_TYPE_FLAGS;
}

static bool take_optional(const wasmtime_component_valtype *type, bool result, struct component_kind *kind)
{
    wasmtime_component_valtype inner;
    if (is_simple(type, kind))
        return true;
    if (type->kind == COMPONENT_TYPE_OPTION) {
        wasmtime.wasmtime_component_option_type_ty(type->of.option, &inner);
        const bool taken = is_simple(&inner, kind);
        wasmtime.wasmtime_component_valtype_delete(&inner);
        if (taken) {
            kind->optional = true;
            return true;
        }
    }
    kind->storage = STORAGE_TEXT32;
    kind->json = true;
    return result && is_plain(type);
}

bool component_kind_take(const wasmtime_component_valtype *type, bool result, struct component_kind *kind)
{
    wasmtime_component_valtype inner;
    *kind = (struct component_kind){ 0 };
    if (!result || type->kind != COMPONENT_TYPE_RESULT || !wasmtime.wasmtime_component_result_type_ok(type->of.result, &inner))
        return take_optional(type, result, kind);
    const bool taken = take_optional(&inner, result, kind);
    kind->fallible = true;
    wasmtime.wasmtime_component_valtype_delete(&inner);
    return taken;
}

/* ---- Arguments ---- */

static void make_bytes(const uint8_t *bytes, size_t length, wasmtime_component_val *value)
{
    value->kind = COMPONENT_LIST;
    wasmtime.wasmtime_component_vallist_new_uninit(&value->of.list, length);
    for (size_t i = 0; i < length; i++)
        value->of.list.data[i] = (wasmtime_component_val){ .kind = COMPONENT_U8, .of.u8 = bytes[i] };
}

static void make_simple(const struct component_kind *kind, const struct column *column, int64_t row, wasmtime_component_val *value)
{
    const size_t width = storage_width(kind->storage);
    *value = (wasmtime_component_val){ .kind = kind->value };
    if (storage_is_variable(kind->storage)) {
        const int32_t *offsets = (const int32_t *)column->offsets + row;
        const size_t length = (size_t)(offsets[1] - offsets[0]);
        if (kind->value == COMPONENT_STRING)
            wasmtime.wasm_byte_vec_new(&value->of.string, length, (const char *)column->data + offsets[0]);
        else
            make_bytes(column->data + offsets[0], length, value);
    } else if (kind->storage == STORAGE_BOOL) {
        value->of.boolean = column->data[row >> 3] >> (row & 7) & 1;
    } else {
        memcpy(&value->of, column->data + (size_t)row * width, width);
    }
}

void component_value_make(const struct component_kind *kind, const struct column *column, int64_t row, wasmtime_component_val *value)
{
    wasmtime_component_val inner;
    if (!kind->optional) {
        make_simple(kind, column, row, value);
        return;
    }
    *value = (wasmtime_component_val){ .kind = COMPONENT_OPTION };
    if (column_is_null(column, row))
        return;
    make_simple(kind, column, row, &inner);
    value->of.option = wasmtime.wasmtime_component_val_new(&inner);    /* moves it */
}

/* ---- JSON: RFC 8259. A record is an object, a tuple and a list are arrays, a variant is {"case": value}, a result {"ok": ...} or {"err": ...}. ---- */

static void write_json(FILE *to, const wasmtime_component_val *value);

static void write_text(FILE *to, const char *text, size_t length)
{
    fputc('"', to);
    for (size_t i = 0; i < length; i++) {
        const unsigned char character = (unsigned char)text[i];
        if (character == '"' || character == '\\')
            fprintf(to, "\\%c", character);
        else if (character < 0x20)
            fprintf(to, "\\u%04x", character);
        else
            fputc(character, to);
    }
    fputc('"', to);
}

/* Numbers that JSON has no word for are null. */
static void write_real(FILE *to, double value, int digits)
{
    if (isfinite(value))
        fprintf(to, "%.*g", digits, value);
    else
        fputs("null", to);
}

static void write_character(FILE *to, uint32_t point)
{
    char text[4];
    size_t length = 0;
    if (point < 0x80) {
        text[length++] = (char)point;
    } else if (point < 0x800) {
        text[length++] = (char)(0xc0 | point >> 6);
        text[length++] = (char)(0x80 | (point & 0x3f));
    } else {
        if (point < 0x10000) {
            text[length++] = (char)(0xe0 | point >> 12);
        } else {
            text[length++] = (char)(0xf0 | point >> 18);
            text[length++] = (char)(0x80 | (point >> 12 & 0x3f));
        }
        text[length++] = (char)(0x80 | (point >> 6 & 0x3f));
        text[length++] = (char)(0x80 | (point & 0x3f));
    }
    write_text(to, text, length);
}

static void write_case(FILE *to, const char *name, size_t length, const wasmtime_component_val *value)
{
    if (!value) {
        write_text(to, name, length);
        return;
    }
    fputc('{', to);
    write_text(to, name, length);
    fputc(':', to);
    write_json(to, value);
    fputc('}', to);
}

static void write_values(FILE *to, const wasmtime_component_vals *values)
{
    fputc('[', to);
    for (size_t i = 0; i < values->size; i++) {
        if (i > 0)
            fputc(',', to);
        write_json(to, &values->data[i]);
    }
    fputc(']', to);
}

static void write_record(FILE *to, const wasmtime_component_record *record)
{
    fputc('{', to);
    for (size_t i = 0; i < record->size; i++) {
        if (i > 0)
            fputc(',', to);
        write_text(to, record->data[i].name.data, record->data[i].name.size);
        fputc(':', to);
        write_json(to, &record->data[i].value);
    }
    fputc('}', to);
}

static void write_flags(FILE *to, const wasmtime_component_flags *flags)
{
    fputc('[', to);
    for (size_t i = 0; i < flags->size; i++) {
        if (i > 0)
            fputc(',', to);
        write_text(to, flags->data[i].data, flags->data[i].size);
    }
    fputc(']', to);
}

static void write_json(FILE *to, const wasmtime_component_val *value)
{
    switch (value->kind) {
    case COMPONENT_BOOL: fputs(value->of.boolean ? "true" : "false", to); break;
    case COMPONENT_S8: fprintf(to, "%d", value->of.s8); break;
    case COMPONENT_U8: fprintf(to, "%u", value->of.u8); break;
    case COMPONENT_S16: fprintf(to, "%d", value->of.s16); break;
    case COMPONENT_U16: fprintf(to, "%u", value->of.u16); break;
    case COMPONENT_S32: fprintf(to, "%" PRId32, value->of.s32); break;
    case COMPONENT_U32: fprintf(to, "%" PRIu32, value->of.u32); break;
    case COMPONENT_S64: fprintf(to, "%" PRId64, value->of.s64); break;
    case COMPONENT_U64: fprintf(to, "%" PRIu64, value->of.u64); break;
    case COMPONENT_F32: write_real(to, (double)value->of.f32, 9); break;
    case COMPONENT_F64: write_real(to, value->of.f64, 17); break;
    case COMPONENT_CHAR: write_character(to, value->of.character); break;
    case COMPONENT_STRING:
    case COMPONENT_ENUM: write_text(to, value->of.string.data, value->of.string.size); break;
    case COMPONENT_LIST:
    case COMPONENT_TUPLE: write_values(to, &value->of.list); break;
    case COMPONENT_RECORD: write_record(to, &value->of.record); break;
    case COMPONENT_VARIANT: write_case(to, value->of.variant.name.data, value->of.variant.name.size, value->of.variant.value); break;
    case COMPONENT_RESULT:
        write_case(to, value->of.result.is_ok ? "ok" : "err", value->of.result.is_ok ? 2 : 3, value->of.result.value);
        break;
    case COMPONENT_FLAGS: write_flags(to, &value->of.flags); break;
    default:
        if (value->kind == COMPONENT_OPTION && value->of.option)
            write_json(to, value->of.option);
        else
            fputs("null", to);
    }
}

/* In memory to be freed. */
static char *json_of(const wasmtime_component_val *value, size_t *length)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, length);
    if (!to)
        abort();
    write_json(to, value);
    fclose(to);
    return text;
}

/* ---- Results ---- */

static bool put_bytes(struct block *block, int64_t row, const char *bytes, size_t length)
{
    if (block_put(block, row, &(struct scalar){ .bytes = bytes, .length = length }))
        return true;
    failure_set("OverflowError", "the results of this batch are too large for one column");
    return false;
}

static bool put_json(struct block *block, int64_t row, const wasmtime_component_val *value)
{
    size_t length;
    char *text = json_of(value, &length);
    const bool done = put_bytes(block, row, text, length);
    free(text);
    return done;
}

static bool put_list(struct block *block, int64_t row, const wasmtime_component_vals *list)
{
    char *bytes = malloc(list->size + 1);
    if (!bytes)
        abort();
    for (size_t i = 0; i < list->size; i++)
        bytes[i] = (char)list->data[i].of.u8;
    const bool done = put_bytes(block, row, bytes, list->size);
    free(bytes);
    return done;
}

static struct scalar number_of(const wasmtime_component_val *value)
{
    switch (value->kind) {
    case COMPONENT_BOOL: return (struct scalar){ .integer = value->of.boolean };
    case COMPONENT_S8: return (struct scalar){ .integer = value->of.s8 };
    case COMPONENT_U8: return (struct scalar){ .integer = value->of.u8 };
    case COMPONENT_S16: return (struct scalar){ .integer = value->of.s16 };
    case COMPONENT_U16: return (struct scalar){ .integer = value->of.u16 };
    case COMPONENT_S32: return (struct scalar){ .integer = value->of.s32 };
    case COMPONENT_U32: return (struct scalar){ .integer = value->of.u32 };
    case COMPONENT_F32: return (struct scalar){ .real = (double)value->of.f32 };
    case COMPONENT_F64: return (struct scalar){ .real = value->of.f64 };
    default: return (struct scalar){ .integer = value->of.s64 };
    }
}

static bool put_simple(const struct component_kind *kind, const wasmtime_component_val *value, struct block *block, int64_t row)
{
    if (kind->value == COMPONENT_STRING)
        return put_bytes(block, row, value->of.string.data, value->of.string.size);
    if (kind->value == COMPONENT_LIST)
        return put_list(block, row, &value->of.list);
    const struct scalar scalar = number_of(value);
    block_put(block, row, &scalar);              /* cannot fail: it is a number */
    return true;
}

static bool put_error(const wasmtime_component_val *error)
{
    size_t length = 0;
    if (!error) {
        failure_set("RuntimeError", "the function returned an error");
    } else if (error->kind == COMPONENT_STRING || error->kind == COMPONENT_ENUM) {
        failure_set("RuntimeError", "%.*s", error->of.string.size > 1800 ? 1800 : (int)error->of.string.size, error->of.string.data);
    } else {
        char *text = json_of(error, &length);
        failure_set("RuntimeError", "%s", text);
        free(text);
    }
    return false;
}

bool component_value_put(const struct component_kind *kind, const wasmtime_component_val *value, struct block *block, int64_t row)
{
    if (kind->fallible) {
        if (!value->of.result.is_ok)
            return put_error(value->of.result.value);
        value = value->of.result.value;
    }
    if (kind->json)
        return put_json(block, row, value);
    if (!kind->optional)
        return put_simple(kind, value, block, row);
    if (value->of.option)
        return put_simple(kind, value->of.option, block, row);
    block_put(block, row, &(struct scalar){ .null = true });
    return true;
}
