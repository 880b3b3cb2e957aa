/* See component_json.h. */
#include "wasm/component_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "shared/compiled/json.h"
#include "shared/compiled/characters.h"

static void write_integer(const wasmtime_component_val *value, struct bytes *to)
{
    char text[24];
    switch (value->kind) {
    case COMPONENT_S8:
        snprintf(text, sizeof text, "%d", value->of.s8);
        break;
    case COMPONENT_U8:
        snprintf(text, sizeof text, "%u", value->of.u8);
        break;
    case COMPONENT_S16:
        snprintf(text, sizeof text, "%d", value->of.s16);
        break;
    case COMPONENT_U16:
        snprintf(text, sizeof text, "%u", value->of.u16);
        break;
    case COMPONENT_S32:
        snprintf(text, sizeof text, "%" PRId32, value->of.s32);
        break;
    case COMPONENT_U32:
        snprintf(text, sizeof text, "%" PRIu32, value->of.u32);
        break;
    case COMPONENT_S64:
        snprintf(text, sizeof text, "%" PRId64, value->of.s64);
        break;
    default:
        snprintf(text, sizeof text, "%" PRIu64, value->of.u64);
    }
    bytes_text(to, text);
}

static void write_character(uint32_t point, struct bytes *to)
{
    char text[UTF8_MAX_SEQUENCE];
    json_write_string(text, utf8_encode(point, text), to);
}

static void write_case(const char *name, size_t length, const wasmtime_component_val *value,
                       struct bytes *to)
{
    if (!value) {
        json_write_string(name, length, to);
        return;
    }
    bytes_text(to, "{");
    json_write_string(name, length, to);
    bytes_text(to, ":");
    component_json(value, to);
    bytes_text(to, "}");
}

static void write_values(const wasmtime_component_vals *values, struct bytes *to)
{
    bytes_text(to, "[");
    for (size_t i = 0; i < values->size; i++) {
        bytes_text(to, i > 0 ? "," : "");
        component_json(&values->data[i], to);
    }
    bytes_text(to, "]");
}

static void write_record(const wasmtime_component_record *record, struct bytes *to)
{
    bytes_text(to, "{");
    for (size_t i = 0; i < record->size; i++) {
        bytes_text(to, i > 0 ? "," : "");
        json_write_string(record->data[i].name.data, record->data[i].name.size, to);
        bytes_text(to, ":");
        component_json(&record->data[i].value, to);
    }
    bytes_text(to, "}");
}

static void write_flags(const wasmtime_component_flags *flags, struct bytes *to)
{
    bytes_text(to, "[");
    for (size_t i = 0; i < flags->size; i++) {
        bytes_text(to, i > 0 ? "," : "");
        json_write_string(flags->data[i].data, flags->data[i].size, to);
    }
    bytes_text(to, "]");
}

static void write_option(const wasmtime_component_val *value, struct bytes *to)
{
    if (value)
        component_json(value, to);
    else
        bytes_text(to, "null");
}

/* Writes a value that has nested values. Returns false if it has none. */
static bool write_nested(const wasmtime_component_val *value, struct bytes *to)
{
    switch (value->kind) {
    case COMPONENT_LIST:
    case COMPONENT_TUPLE:
        write_values(&value->of.list, to);
        return true;
    case COMPONENT_RECORD:
        write_record(&value->of.record, to);
        return true;
    case COMPONENT_VARIANT:
        write_case(value->of.variant.name.data, value->of.variant.name.size,
                   value->of.variant.value, to);
        return true;
    case COMPONENT_RESULT:
        write_case(value->of.result.is_ok ? "ok" : "err", value->of.result.is_ok ? 2 : 3,
                   value->of.result.value, to);
        return true;
    case COMPONENT_FLAGS:
        write_flags(&value->of.flags, to);
        return true;
    case COMPONENT_OPTION:
        write_option(value->of.option, to);
        return true;
    default:
        return false;
    }
}

void component_json(const wasmtime_component_val *value, struct bytes *to)
{
    if (write_nested(value, to))
        return;
    switch (value->kind) {
    case COMPONENT_BOOL:
        bytes_text(to, value->of.boolean ? "true" : "false");
        break;
    case COMPONENT_F32:
        json_write_real((double)value->of.f32, JSON_FLOAT_DIGITS, to);
        break;
    case COMPONENT_F64:
        json_write_real(value->of.f64, JSON_DOUBLE_DIGITS, to);
        break;
    case COMPONENT_CHAR:
        write_character(value->of.character, to);
        break;
    case COMPONENT_STRING:
    case COMPONENT_ENUM:
        json_write_string(value->of.string.data, value->of.string.size, to);
        break;
    default:
        write_integer(value, to);
    }
}
