/* See json.h. The text is parsed once, directly into the columns. Values nest no deeper than the
 * type. */
#include "shared/compiled/json.h"

#include <math.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/iso_time.h"
#include "shared/compiled/json_scan.h"
#include "utf8.h"

static bool read_value(struct json_reader *reader, struct builder *builder);

/* ---- Numbers ---- */

static bool out_of_range(const struct json_reader *reader, const char *number, const char *end,
                         const struct type *type)
{
    struct bytes name = { 0 };
    type_write(type, &name);
    failure_set("OverflowError",
                "is not valid: %.*s, at byte %zu of its JSON, is out of range of %.*s",
                json_shown(number, end), number, (size_t)(number - reader->start), (int)name.length,
                (const char *)name.at);
    bytes_free(&name);
    return false;
}

/* Returns the bits of an integer, which may have a minus, in *bits. Returns false if they do not
 * fit 64 bits. */
static bool bits_of_digits(const char *number, size_t length, bool natural, uint64_t *bits)
{
    const bool negative = *number == '-';
    uint64_t magnitude = 0;
    for (size_t i = negative; i < length; i++)
        if (__builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(number[i] - '0'), &magnitude))
            return false;
    *bits = negative ? 0 - magnitude : magnitude;
    const uint64_t largest = (uint64_t)INT64_MAX + negative;
    return natural ? !negative || magnitude == 0 : magnitude <= largest;
}

/* Returns the bits of a real number that is whole, such as 3.0 or 1e3. Returns false if it is
 * not whole, or does not fit 64 bits. */
static bool bits_of_real(double real, bool natural, uint64_t *bits)
{
    if (real != floor(real) || fabs(real) >= (natural ? 0x1p64 : 0x1p63) || (natural && real < 0))
        return false;
    *bits = natural ? (uint64_t)real : (uint64_t)(int64_t)real;
    return true;
}

/* Returns the bits of an integer in *bits. Returns false if it does not fit 64 bits, signed or,
 * if the type is, unsigned. */
static bool bits_of(struct json_reader *reader, const char *number, size_t length, bool integer,
                    bool natural, uint64_t *bits)
{
    return integer ? bits_of_digits(number, length, natural, bits)
                   : bits_of_real(json_real(reader, number, length), natural, bits);
}

static bool read_integer(struct json_reader *reader, struct builder *builder)
{
    const enum storage storage = builder->type->storage;
    const bool natural = storage == STORAGE_UINT64;
    bool integer;
    uint64_t bits;
    const size_t length = json_number_length(reader, &integer);
    if (length == 0)
        return json_expected(reader, "an integer");
    const char *number = reader->text.at;
    reader->text.at += length;
    if (!bits_of(reader, number, length, integer, natural, &bits) ||
        (!natural && !storage_holds(storage, (int64_t)bits)))
        return out_of_range(reader, number, reader->text.at, builder->type);
    builder_number(builder,
                   &bits); /* little endian: a narrow integer is the beginning of a wide one */
    return true;
}

static bool read_real(struct json_reader *reader, struct builder *builder)
{
    bool integer;
    const size_t length = json_number_length(reader, &integer);
    if (length == 0)
        return json_expected(reader, "a number");
    const double wide = json_real(reader, reader->text.at, length);
    const float narrow = (float)wide;
    const bool is_narrow = builder->type->storage == STORAGE_FLOAT32;
    reader->text.at += length;
    if (is_narrow ? isinf(narrow) : isinf(wide))
        return out_of_range(reader, reader->text.at - length, reader->text.at, builder->type);
    builder_number(builder, is_narrow ? (const void *)&narrow : &wide);
    return true;
}

/* Accepts 0 and 1, too, which are SQL's booleans. */
static bool read_bool(struct json_reader *reader, struct builder *builder)
{
    uint8_t value = 1;
    if (!json_accept_word(reader, "true") && !json_accept_word(reader, "1")) {
        value = 0;
        if (!json_accept_word(reader, "false") && !json_accept_word(reader, "0"))
            return json_expected(reader, "true or false");
    }
    builder_number(builder, &value);
    return true;
}

/* ---- Strings ---- */

static bool put_string(struct json_reader *reader, struct builder *builder, size_t length)
{
    if (builder_bytes(builder, reader->string.at, length))
        return true;
    return failure_set("OverflowError", "has strings that are too large for one column");
}

static bool read_bytes(struct json_reader *reader, struct builder *builder)
{
    static const char what[] = "a string of hexadecimal digits, two for each byte,";
    const char *begin = reader->text.at;
    if (!json_take_string(reader, what))
        return false;
    const char *digits = (const char *)reader->string.at;
    struct scanner pairs = { digits, digits + reader->string.length };
    size_t length = 0;
    uint32_t byte;
    for (; pairs.at < pairs.end && json_take_hexadecimal(&pairs, 2, &byte); length++)
        reader->string.at[length] = (uint8_t)
            byte; /* a byte is written behind the digits that were read */
    if (pairs.at < pairs.end || reader->string.length % 2) {
        reader->text.at = begin;
        return json_expected(reader, what);
    }
    return put_string(reader, builder, length);
}

static bool read_time(struct json_reader *reader, struct builder *builder)
{
    const enum type_time time = builder->type->time;
    const char *begin = reader->text.at, *what = time == TIME_DAYS
                                                     ? "a date such as \"2024-02-29\""
                                                     : "a time such as \"2024-02-29T12:30:00\"";
    int64_t count;
    if (!json_take_string(reader, what))
        return false;
    if (!iso_time_read(time, (const char *)reader->string.at, reader->string.length, &count) ||
        !storage_holds(builder->type->storage, count)) {
        reader->text.at = begin;
        return json_expected(reader, what);
    }
    builder_number(builder, &count);
    return true;
}

/* ---- Arrays and objects ---- */

static bool read_list(struct json_reader *reader, struct builder *builder)
{
    if (!json_accept(reader, '['))
        return json_expected(reader, "an array");
    if (!json_accept(reader, ']')) {
        do {
            if (!read_value(reader, builder->children))
                return false;
        } while (json_accept(reader, ','));
        if (!json_accept(reader, ']'))
            return json_expected(reader, "a comma or the end of an array");
    }
    if (builder_list(builder))
        return true;
    return failure_set("OverflowError", "has arrays that are too large for one column");
}

/* Returns the field whose name was read last. */
static struct builder *find_field(const struct json_reader *reader, const struct builder *builder)
{
    for (size_t i = 0; i < builder->type->count; i++) {
        const char *name = builder->type->children[i].name;
        if (strlen(name) == reader->string.length &&
            memcmp(name, reader->string.at, reader->string.length) == 0)
            return &builder->children[i];
    }
    return NULL;
}

/* Sets the failure of a key that the struct does not have, or has already. */
static bool wrong_field(struct json_reader *reader, const char *begin, const struct type *type,
                        bool twice)
{
    struct bytes name = { 0 };
    type_write(type, &name);
    failure_set("ValueError",
                "is not valid: at byte %zu its JSON has the key %.*s%s; the type is %.*s",
                (size_t)(begin - reader->start), json_shown(begin, reader->text.at), begin,
                twice ? " again" : "", (int)(name.length < 1024 ? name.length : 1024),
                (const char *)name.at);
    bytes_free(&name);
    return false;
}

static bool read_field(struct json_reader *reader, struct builder *builder)
{
    json_skip_blanks(reader);
    const char *begin = reader->text.at;
    if (!json_take_string(reader, "a key"))
        return false;
    struct builder *field = find_field(reader, builder);
    if (!field || field->rows == builder->rows)
        return wrong_field(reader, begin, builder->type, field != NULL);
    if (!json_accept(reader, ':'))
        return json_expected(reader, "a colon");
    return read_value(reader, field);
}

/* Parses an object as a struct. Each field gets one row, in whatever order the keys come. */
static bool read_struct(struct json_reader *reader, struct builder *builder)
{
    if (!json_accept(reader, '{'))
        return json_expected(reader, "an object");
    builder_struct(builder);
    if (!json_accept(reader, '}')) {
        do {
            if (!read_field(reader, builder))
                return false;
        } while (json_accept(reader, ','));
        if (!json_accept(reader, '}'))
            return json_expected(reader, "a comma or the end of an object");
    }
    for (size_t i = 0; i < builder->type->count; i++)
        if (builder->children[i].rows < builder->rows)
            builder_null(&builder->children[i]);
    return true;
}

/* Parses a value of a type without nested types. */
static bool read_leaf(struct json_reader *reader, struct builder *builder)
{
    switch (builder->type->storage) {
    case STORAGE_BOOL:
        return read_bool(reader, builder);
    case STORAGE_FLOAT32:
    case STORAGE_FLOAT64:
        return read_real(reader, builder);
    case STORAGE_TEXT32:
    case STORAGE_TEXT64:
        return json_take_string(reader, "a string") &&
               put_string(reader, builder, reader->string.length);
    case STORAGE_BYTES32:
    case STORAGE_BYTES64:
        return read_bytes(reader, builder);
    default:
        return builder->type->time != TIME_NONE ? read_time(reader, builder)
                                                : read_integer(reader, builder);
    }
}

static bool read_value(struct json_reader *reader, struct builder *builder)
{
    if (json_accept_word(reader, "null")) {
        builder_null(builder);
        return true;
    }
    switch (builder->type->storage) {
    case STORAGE_STRUCT:
        return read_struct(reader, builder);
    case STORAGE_LIST:
        return read_list(reader, builder);
    default:
        return read_leaf(reader, builder);
    }
}

bool json_read(struct builder *builder, const char *text, size_t length)
{
    struct json_reader reader = { text, { text, text + length }, { 0 } };
    bool done = utf8_is_valid(text, length);
    if (!done)
        failure_set("UnicodeDecodeError", "is not valid: its JSON is not UTF-8");
    done = done && read_value(&reader, builder);
    json_skip_blanks(&reader);
    if (done && reader.text.at < reader.text.end)
        done = json_expected(&reader, "the end");
    bytes_free(&reader.string);
    return done;
}
