/* See json_scan.h. */
#include "shared/compiled/json_scan.h"

#include <stdlib.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/characters.h"

#define MAX_SHOWN 32 /* bytes of the text in an error */

/* ---- Errors ---- */

/* Returns a length of at most MAX_SHOWN that splits no character. */
int json_shown(const char *at, const char *end)
{
    int length = end - at < MAX_SHOWN ? (int)(end - at) : MAX_SHOWN;
    while (at + length < end && length > 0 && ((unsigned char)at[length] & 0xc0) == 0x80)
        length--;
    return length;
}

bool json_expected(const struct json_reader *reader, const char *what)
{
    if (reader->text.at == reader->text.end)
        failure_set("ValueError", "is not valid: its JSON ends where %s is expected", what);
    else
        failure_set("ValueError", "is not valid: at byte %zu of its JSON %s is expected, not %.*s",
                    (size_t)(reader->text.at - reader->start), what,
                    json_shown(reader->text.at, reader->text.end), reader->text.at);
    return false;
}

/* ---- Words ---- */

void json_skip_blanks(struct json_reader *reader)
{
    while (reader->text.at < reader->text.end &&
           (*reader->text.at == ' ' || *reader->text.at == '\t' || *reader->text.at == '\n' ||
            *reader->text.at == '\r'))
        reader->text.at++;
}

bool json_accept(struct json_reader *reader, char character)
{
    json_skip_blanks(reader);
    return scanner_accept(&reader->text, character);
}

bool json_accept_word(struct json_reader *reader, const char *word)
{
    json_skip_blanks(reader);
    return scanner_accept_word(&reader->text, word);
}

bool json_take_hexadecimal(struct scanner *text, unsigned digits, uint32_t *number)
{
    *number = 0;
    for (unsigned i = 0; i < digits; i++, text->at++) {
        const char digit = text->at < text->end ? *text->at : 0;
        const bool is_letter = (digit >= 'a' && digit <= 'f') || (digit >= 'A' && digit <= 'F');
        if (!is_letter && (digit < '0' || digit > '9'))
            return false;
        *number = *number << 4 | (uint32_t)(is_letter ? (digit | 0x20) - 'a' + 10 : digit - '0');
    }
    return true;
}

/* Reads what follows "\u": a character, or a UTF-16 surrogate pair. */
static bool take_unicode(struct json_reader *reader)
{
    uint32_t point, low;
    if (!json_take_hexadecimal(&reader->text, 4, &point))
        return false;
    if (point >= 0xd800 && point < 0xe000) {
        if (point >= 0xdc00 || reader->text.end - reader->text.at < 6 ||
            reader->text.at[0] != '\\' || reader->text.at[1] != 'u')
            return false;
        reader->text.at += 2;
        if (!json_take_hexadecimal(&reader->text, 4, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        point = 0x10000 + ((point - 0xd800) << 10 | (low - 0xdc00));
    }
    char character[UTF8_MAX_SEQUENCE];
    bytes_put(&reader->string, character, utf8_encode(point, character));
    return true;
}

static bool take_escape(struct json_reader *reader)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char name = reader->text.at < reader->text.end ? *reader->text.at++ : 0;
    const char *at = name ? strchr(names, name) : NULL;
    if (name == 'u')
        return take_unicode(reader);
    if (at)
        bytes_put(&reader->string, &meanings[at - names], 1);
    return at != NULL;
}

/* Reads a string into reader->string. */
bool json_take_string(struct json_reader *reader, const char *what)
{
    if (!json_accept(reader, '"'))
        return json_expected(reader, what);
    reader->string.length = 0;
    for (;;) {
        const char *begin = reader->text.at;
        while (reader->text.at < reader->text.end && *reader->text.at != '"' &&
               *reader->text.at != '\\' && (unsigned char)*reader->text.at >= 0x20)
            reader->text.at++;
        bytes_put(&reader->string, begin, (size_t)(reader->text.at - begin));
        if (reader->text.at == reader->text.end || (unsigned char)*reader->text.at < 0x20)
            return json_expected(reader, "the end of a string");
        if (*reader->text.at++ == '"')
            return true;
        if (!take_escape(reader))
            return json_expected(reader, "an escape of JSON, such as \\n or \\u00e9,");
    }
}

/* ---- Numbers ---- */

static bool skip_fraction(struct scanner *text)
{
    return !scanner_accept(text, '.') || scanner_skip_digits(text);
}

static bool skip_exponent(struct scanner *text)
{
    if (!scanner_accept(text, 'e') && !scanner_accept(text, 'E'))
        return true;
    if (!scanner_accept(text, '+'))
        scanner_accept(text, '-');
    return scanner_skip_digits(text);
}

size_t json_number_length(const struct json_reader *reader, bool *integer)
{
    struct scanner text = reader->text;
    scanner_accept(&text, '-');
    const char *digits = text.at;
    if (!scanner_skip_digits(&text) || (*digits == '0' && text.at - digits > 1))
        return 0;
    const char *end = text.at;
    if (!skip_fraction(&text) || !skip_exponent(&text))
        return 0;
    *integer = text.at == end;
    return (size_t)(text.at - reader->text.at);
}

double json_real(struct json_reader *reader, const char *number, size_t length)
{
    reader->string.length = 0;
    bytes_put(&reader->string, number, length);
    bytes_put(&reader->string, "", 1);
    return strtod((const char *)reader->string.at, NULL);
}
