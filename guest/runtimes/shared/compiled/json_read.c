/* See json.h. The text is read once, straight into the columns; nothing nests deeper than the type.
 */
#include "shared/compiled/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/iso_time.h"
#include "shared/compiled/utf8.h"

#define MAX_SHOWN 32 /* bytes of the text in an error */

struct reader {
    const char *argument, *start, *at, *end;
    struct bytes string; /* the last one that was read */
};

static bool read_value(struct reader *reader, struct builder *builder);

/* ---- Errors ---- */

/* So many bytes of the text as make whole characters. */
static int shown(const char *at, const char *end)
{
    int length = end - at < MAX_SHOWN ? (int)(end - at) : MAX_SHOWN;
    while (at + length < end && length > 0 && ((unsigned char)at[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static bool expected(const struct reader *reader, const char *what)
{
    if (reader->at == reader->end)
        failure_set("ValueError", "argument %s: its JSON ends where %s is expected",
                    reader->argument, what);
    else
        failure_set("ValueError", "argument %s: at byte %zu of its JSON %s is expected, not %.*s",
                    reader->argument, (size_t)(reader->at - reader->start), what,
                    shown(reader->at, reader->end), reader->at);
    return false;
}

static bool out_of_range(const struct reader *reader, const char *number, const char *end,
                         const struct type *type)
{
    struct bytes name = { 0 };
    type_write(type, &name);
    failure_set("OverflowError",
                "argument %s: %.*s, at byte %zu of its JSON, is out of range of %.*s",
                reader->argument, shown(number, end), number, (size_t)(number - reader->start),
                (int)name.length, (const char *)name.at);
    bytes_free(&name);
    return false;
}

/* ---- Words ---- */

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' ||
                                        *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

static bool accept(struct reader *reader, char character)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != character)
        return false;
    reader->at++;
    return true;
}

static bool accept_word(struct reader *reader, const char *word)
{
    const size_t length = strlen(word);
    skip_blanks(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static bool take_hexadecimal(struct reader *reader, unsigned digits, uint32_t *number)
{
    *number = 0;
    for (unsigned i = 0; i < digits; i++, reader->at++) {
        const char digit = reader->at < reader->end ? *reader->at : 0;
        const bool is_letter = (digit >= 'a' && digit <= 'f') || (digit >= 'A' && digit <= 'F');
        if (!is_letter && (digit < '0' || digit > '9'))
            return false;
        *number = *number << 4 | (uint32_t)(is_letter ? (digit | 0x20) - 'a' + 10 : digit - '0');
    }
    return true;
}

static void put_character(struct bytes *to, uint32_t point)
{
    const unsigned more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    uint8_t first = (uint8_t)(marks[more] | point >> (6 * more));
    bytes_put(to, &first, 1);
    for (unsigned i = more; i > 0; i--) {
        const uint8_t next = (uint8_t)(0x80 | (point >> (6 * (i - 1)) & 0x3f));
        bytes_put(to, &next, 1);
    }
}

/* Behind "\u": a character, or both halves of one that UTF-16 has as two. */
static bool take_unicode(struct reader *reader)
{
    uint32_t point, low;
    if (!take_hexadecimal(reader, 4, &point))
        return false;
    if (point >= 0xd800 && point < 0xe000) {
        if (point >= 0xdc00 || reader->end - reader->at < 6 || reader->at[0] != '\\' ||
            reader->at[1] != 'u')
            return false;
        reader->at += 2;
        if (!take_hexadecimal(reader, 4, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        point = 0x10000 + ((point - 0xd800) << 10 | (low - 0xdc00));
    }
    put_character(&reader->string, point);
    return true;
}

static bool take_escape(struct reader *reader)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char name = reader->at < reader->end ? *reader->at++ : 0;
    const char *at = name ? strchr(names, name) : NULL;
    if (name == 'u')
        return take_unicode(reader);
    if (at)
        bytes_put(&reader->string, &meanings[at - names], 1);
    return at != NULL;
}

/* A string, into reader->string. */
static bool take_string(struct reader *reader, const char *what)
{
    if (!accept(reader, '"'))
        return expected(reader, what);
    reader->string.length = 0;
    for (;;) {
        const char *begin = reader->at;
        while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\' &&
               (unsigned char)*reader->at >= 0x20)
            reader->at++;
        bytes_put(&reader->string, begin, (size_t)(reader->at - begin));
        if (reader->at == reader->end || (unsigned char)*reader->at < 0x20)
            return expected(reader, "the end of a string");
        if (*reader->at++ == '"')
            return true;
        if (!take_escape(reader))
            return expected(reader, "an escape of JSON, such as \\n or \\u00e9,");
    }
}

/* ---- Numbers ---- */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* Length of the number that is next; 0: there is none. *integer: it has digits only. */
static size_t number_length(const struct reader *reader, bool *integer)
{
    const char *end = reader->end, *at = reader->at + (reader->at < end && *reader->at == '-'),
               *digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return 0;
    *integer = true;
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        *integer = false;
        if (at == digits)
            return 0;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = at;
        at = skip_digits(at, end);
        *integer = false;
        if (at == digits)
            return 0;
    }
    return (size_t)(at - reader->at);
}

static double real_of(struct reader *reader, const char *number, size_t length)
{
    reader->string.length = 0;
    bytes_put(&reader->string, number, length);
    bytes_put(&reader->string, "", 1);
    return strtod((const char *)reader->string.at, NULL);
}

/* The bits of an integer. false: it has none in 64 bits, signed or, where it may be, unsigned. */
static bool bits_of(struct reader *reader, const char *number, size_t length, bool integer,
                    bool natural, uint64_t *bits)
{
    const bool negative = *number == '-';
    uint64_t magnitude = 0;
    if (!integer) { /* 3.0, 1e3 */
        const double real = real_of(reader, number, length), limit = natural ? 0x1p64 : 0x1p63;
        if (real != floor(real) || fabs(real) >= limit || (natural && real < 0))
            return false;
        *bits = natural ? (uint64_t)real : (uint64_t)(int64_t)real;
        return true;
    }
    for (size_t i = negative; i < length; i++)
        if (__builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(number[i] - '0'), &magnitude))
            return false;
    *bits = negative ? 0 - magnitude : magnitude;
    return negative ? magnitude == 0 || (!natural && magnitude <= (uint64_t)1 << 63)
                    : natural || magnitude <= INT64_MAX;
}

static bool read_integer(struct reader *reader, struct builder *builder)
{
    const enum storage storage = builder->type->storage;
    const bool natural = storage == STORAGE_UINT64;
    bool integer;
    uint64_t bits;
    const size_t length = number_length(reader, &integer);
    if (length == 0)
        return expected(reader, "an integer");
    const char *number = reader->at;
    reader->at += length;
    if (!bits_of(reader, number, length, integer, natural, &bits) ||
        (!natural && !storage_holds(storage, (int64_t)bits)))
        return out_of_range(reader, number, reader->at, builder->type);
    builder_number(builder,
                   &bits); /* little endian: a narrow integer is the beginning of a wide one */
    return true;
}

static bool read_real(struct reader *reader, struct builder *builder)
{
    bool integer;
    const size_t length = number_length(reader, &integer);
    if (length == 0)
        return expected(reader, "a number");
    const double wide = real_of(reader, reader->at, length);
    const float narrow = (float)wide;
    const bool is_narrow = builder->type->storage == STORAGE_FLOAT32;
    reader->at += length;
    if (is_narrow ? isinf(narrow) : isinf(wide))
        return out_of_range(reader, reader->at - length, reader->at, builder->type);
    builder_number(builder, is_narrow ? (const void *)&narrow : &wide);
    return true;
}

/* SQL has no other booleans than 0 and 1. */
static bool read_bool(struct reader *reader, struct builder *builder)
{
    uint8_t value = 1;
    if (!accept_word(reader, "true") && !accept_word(reader, "1")) {
        value = 0;
        if (!accept_word(reader, "false") && !accept_word(reader, "0"))
            return expected(reader, "true or false");
    }
    builder_number(builder, &value);
    return true;
}

/* ---- Strings ---- */

static bool put_string(struct reader *reader, struct builder *builder, size_t length)
{
    if (builder_bytes(builder, reader->string.at, length))
        return true;
    failure_set("OverflowError", "argument %s: its strings are too large for one column",
                reader->argument);
    return false;
}

static bool read_bytes(struct reader *reader, struct builder *builder)
{
    static const char what[] = "a string of hexadecimal digits, two for each byte,";
    const char *begin = reader->at;
    if (!take_string(reader, what))
        return false;
    const char *digits = (const char *)reader->string.at;
    struct reader pairs = { .at = digits, .end = digits + reader->string.length };
    size_t length = 0;
    uint32_t byte;
    for (; pairs.at < pairs.end && take_hexadecimal(&pairs, 2, &byte); length++)
        reader->string.at[length] = (uint8_t)byte; /* never before what is still to be read */
    if (pairs.at < pairs.end || reader->string.length % 2) {
        reader->at = begin;
        return expected(reader, what);
    }
    return put_string(reader, builder, length);
}

static bool read_time(struct reader *reader, struct builder *builder)
{
    const enum type_time time = builder->type->time;
    const char *begin = reader->at, *what = time == TIME_DAYS
                                                ? "a date such as \"2024-02-29\""
                                                : "a time such as \"2024-02-29T12:30:00\"";
    int64_t count;
    if (!take_string(reader, what))
        return false;
    if (!iso_time_read(time, (const char *)reader->string.at, reader->string.length, &count) ||
        !storage_holds(builder->type->storage, count)) {
        reader->at = begin;
        return expected(reader, what);
    }
    builder_number(builder, &count);
    return true;
}

/* ---- Arrays and objects ---- */

static bool read_list(struct reader *reader, struct builder *builder)
{
    if (!accept(reader, '['))
        return expected(reader, "an array");
    if (!accept(reader, ']')) {
        do {
            if (!read_value(reader, builder->children))
                return false;
        } while (accept(reader, ','));
        if (!accept(reader, ']'))
            return expected(reader, "a comma or the end of an array");
    }
    if (builder_list(builder))
        return true;
    failure_set("OverflowError", "argument %s: its arrays are too large for one column",
                reader->argument);
    return false;
}

/* The field of the name that was read last. */
static struct builder *find_field(const struct reader *reader, const struct builder *builder)
{
    for (size_t i = 0; i < builder->type->count; i++) {
        const char *name = builder->type->children[i].name;
        if (strlen(name) == reader->string.length &&
            memcmp(name, reader->string.at, reader->string.length) == 0)
            return &builder->children[i];
    }
    return NULL;
}

/* What is expected of a struct, in an error. */
static bool wrong_field(struct reader *reader, const char *begin, const struct type *type,
                        bool twice)
{
    struct bytes name = { 0 };
    type_write(type, &name);
    failure_set("ValueError",
                "argument %s: at byte %zu its JSON has the key %.*s%s; the type is %.*s",
                reader->argument, (size_t)(begin - reader->start), shown(begin, reader->at), begin,
                twice ? " again" : "", (int)(name.length < 1024 ? name.length : 1024),
                (const char *)name.at);
    bytes_free(&name);
    return false;
}

static bool read_field(struct reader *reader, struct builder *builder)
{
    skip_blanks(reader);
    const char *begin = reader->at;
    if (!take_string(reader, "a key"))
        return false;
    struct builder *field = find_field(reader, builder);
    if (!field || field->rows == builder->rows)
        return wrong_field(reader, begin, builder->type, field != NULL);
    if (!accept(reader, ':'))
        return expected(reader, "a colon");
    return read_value(reader, field);
}

/* A struct is an object; whatever order its keys have, each field gets one row. */
static bool read_struct(struct reader *reader, struct builder *builder)
{
    if (!accept(reader, '{'))
        return expected(reader, "an object");
    builder_struct(builder);
    if (!accept(reader, '}')) {
        do {
            if (!read_field(reader, builder))
                return false;
        } while (accept(reader, ','));
        if (!accept(reader, '}'))
            return expected(reader, "a comma or the end of an object");
    }
    for (size_t i = 0; i < builder->type->count; i++)
        if (builder->children[i].rows < builder->rows)
            builder_null(&builder->children[i]);
    return true;
}

static bool read_value(struct reader *reader, struct builder *builder)
{
    const struct type *type = builder->type;
    if (accept_word(reader, "null")) {
        builder_null(builder);
        return true;
    }
    if (type->time != TIME_NONE)
        return read_time(reader, builder);
    switch (type->storage) {
    case STORAGE_BOOL:
        return read_bool(reader, builder);
    case STORAGE_FLOAT32:
    case STORAGE_FLOAT64:
        return read_real(reader, builder);
    case STORAGE_TEXT32:
    case STORAGE_TEXT64:
        return take_string(reader, "a string") &&
               put_string(reader, builder, reader->string.length);
    case STORAGE_BYTES32:
    case STORAGE_BYTES64:
        return read_bytes(reader, builder);
    case STORAGE_STRUCT:
        return read_struct(reader, builder);
    case STORAGE_LIST:
        return read_list(reader, builder);
    default:
        return read_integer(reader, builder);
    }
}

bool json_read(struct builder *builder, const char *argument, const char *text, size_t length)
{
    struct reader reader = { argument, text, text, text + length, { 0 } };
    bool done = utf8_is_valid(text, length);
    if (!done)
        failure_set("UnicodeDecodeError", "argument %s: its JSON is not valid UTF-8", argument);
    done = done && read_value(&reader, builder);
    skip_blanks(&reader);
    if (done && reader.at < reader.end)
        done = expected(&reader, "the end");
    bytes_free(&reader.string);
    return done;
}
