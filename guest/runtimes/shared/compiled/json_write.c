/* See json.h. */
#include "shared/compiled/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/iso_time.h"

static bool is_escaped(unsigned char character)
{
    return character < 0x20 || character == '"' || character == '\\';
}

void json_write_string(const char *text, size_t length, struct bytes *to)
{
    char escape[8];
    size_t begin = 0;
    bytes_text(to, "\"");
    for (size_t i = 0; i < length; i++) {
        if (!is_escaped((unsigned char)text[i]))
            continue;
        bytes_put(to, text + begin, i - begin);
        snprintf(escape, sizeof escape, (unsigned char)text[i] < 0x20 ? "\\u%04x" : "\\%c",
                 text[i]);
        bytes_text(to, escape);
        begin = i + 1;
    }
    bytes_put(to, text + begin, length - begin);
    bytes_text(to, "\"");
}

/* Writes as few digits as distinguish the number from others. A whole number has ".0", so that it
 * stays a real number in SQL. */
void json_write_real(double value, int digits, struct bytes *to)
{
    char text[40];
    if (!isfinite(value)) {
        bytes_text(to, "null");
        return;
    }
    for (int few = digits == JSON_FLOAT_DIGITS ? 6 : 15; few <= digits; few++) {
        snprintf(text, sizeof text, "%.*g", few, value);
        if (digits == JSON_FLOAT_DIGITS ? strtof(text, NULL) == (float)value
                                        : strtod(text, NULL) == value)
            break;
    }
    bytes_text(to, text);
    if (!strpbrk(text, ".e"))
        bytes_text(to, ".0");
}

static void write_integer(const struct type *type, const uint8_t *at, struct bytes *to)
{
    char text[MAX_ISO_TIME];
    uint64_t bits = 0;
    const size_t width = storage_width(type->storage);
    memcpy(&bits, at, width);
    const unsigned unused = 64 - 8 * (unsigned)width;
    const int64_t number = (int64_t)(bits << unused) >> unused;
    if (type->time != TIME_NONE) {
        iso_time_write(type->time, number, text);
        json_write_string(text, strlen(text), to);
        return;
    }
    if (type->storage >= STORAGE_UINT8)
        snprintf(text, sizeof text, "%" PRIu64, bits);
    else
        snprintf(text, sizeof text, "%" PRId64, number);
    bytes_text(to, text);
}

static void write_hexadecimal(const uint8_t *bytes, size_t length, struct bytes *to)
{
    static const char digits[] = "0123456789ABCDEF";
    bytes_text(to, "\"");
    for (size_t i = 0; i < length; i++) {
        const char pair[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };
        bytes_put(to, pair, sizeof pair);
    }
    bytes_text(to, "\"");
}

/* Numbers may be at any address, because a module may have stored them unaligned. */
static bool write_real(const struct type *type, const uint8_t *at, struct bytes *to)
{
    const bool is_narrow = type->storage == STORAGE_FLOAT32;
    float narrow;
    double wide;
    memcpy(is_narrow ? (void *)&narrow : &wide, at, storage_width(type->storage));
    if (is_narrow)
        wide = (double)narrow;
    json_write_real(wide, is_narrow ? JSON_FLOAT_DIGITS : JSON_DOUBLE_DIGITS, to);
    if (!isfinite(wide))
        failure_set("ValueError",
                    "the result has a number that is not finite, which JSON cannot represent");
    return isfinite(wide);
}

static bool write_leaf(const struct type *type, const struct column *column, int64_t row,
                       struct bytes *to)
{
    const uint8_t *at = column->data + (size_t)row * storage_width(type->storage);
    const struct scalar bytes = storage_is_variable(type->storage) ? column_bytes(column, row)
                                                                   : (struct scalar){ 0 };
    switch (type->storage) {
    case STORAGE_BOOL:
        bytes_text(to, bitmap_get(column->data, row) ? "true" : "false");
        break;
    case STORAGE_FLOAT32:
    case STORAGE_FLOAT64:
        return write_real(type, at, to);
    case STORAGE_TEXT32:
    case STORAGE_TEXT64:
        json_write_string(bytes.bytes, bytes.length, to);
        break;
    case STORAGE_BYTES32:
    case STORAGE_BYTES64:
        write_hexadecimal((const uint8_t *)bytes.bytes, bytes.length, to);
        break;
    default:
        write_integer(type, at, to);
    }
    return true;
}

static bool write_value(const struct type *type, const struct column *column, int64_t row,
                        struct bytes *to)
{
    if (!column_is_null(column, row))
        return json_write(type, column, row, to);
    bytes_text(to, "null");
    return true;
}

static bool write_struct(const struct type *type, const struct column *column, int64_t row,
                         struct bytes *to)
{
    for (size_t i = 0; i < type->count; i++) {
        const char *name = type->children[i].name;
        bytes_text(to, i == 0 ? "{" : ",");
        json_write_string(name, strlen(name), to);
        bytes_text(to, ":");
        if (!write_value(&type->children[i], &column->children[i], row, to))
            return false;
    }
    bytes_text(to, "}");
    return true;
}

static bool write_list(const struct type *type, const struct column *column, int64_t row,
                       struct bytes *to)
{
    const int64_t begin = column_offset(column, row), end = column_offset(column, row + 1);
    bytes_text(to, "[");
    for (int64_t item = begin; item < end; item++) {
        bytes_text(to, item > begin ? "," : "");
        if (!write_value(type->children, column->children, item, to))
            return false;
    }
    bytes_text(to, "]");
    return true;
}

bool json_write(const struct type *type, const struct column *column, int64_t row, struct bytes *to)
{
    switch (type->storage) {
    case STORAGE_STRUCT:
        return write_struct(type, column, row, to);
    case STORAGE_LIST:
        return write_list(type, column, row, to);
    default:
        return write_leaf(type, column, row, to);
    }
}
