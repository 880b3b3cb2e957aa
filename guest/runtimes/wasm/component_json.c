/* See component_json.h. */
#include "wasm/component_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "shared/compiled/json.h"

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

void component_character(uint32_t point, struct bytes *to)
{
    const unsigned more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    uint8_t *at = bytes_extend(to, 1 + more);
    at[0] = (uint8_t)(marks[more] | point >> (6 * more));
    for (unsigned i = 1; i <= more; i++)
        at[i] = (uint8_t)(0x80 | (point >> (6 * (more - i)) & 0x3f));
}

static void write_character(uint32_t point, struct bytes *to)
{
    struct bytes text = { 0 };
    component_character(point, &text);
    json_write_string((const char *)text.at, text.length, to);
    bytes_free(&text);
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

void component_json(const wasmtime_component_val *value, struct bytes *to)
{
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
    case COMPONENT_LIST:
    case COMPONENT_TUPLE:
        write_values(&value->of.list, to);
        break;
    case COMPONENT_RECORD:
        write_record(&value->of.record, to);
        break;
    case COMPONENT_VARIANT:
        write_case(value->of.variant.name.data, value->of.variant.name.size,
                   value->of.variant.value, to);
        break;
    case COMPONENT_RESULT:
        write_case(value->of.result.is_ok ? "ok" : "err", value->of.result.is_ok ? 2 : 3,
                   value->of.result.value, to);
        break;
    case COMPONENT_FLAGS:
        write_flags(&value->of.flags, to);
        break;
    case COMPONENT_OPTION:
        if (value->of.option)
            component_json(value->of.option, to);
        else
            bytes_text(to, "null");
        break;
    default:
        write_integer(value, to);
    }
}
