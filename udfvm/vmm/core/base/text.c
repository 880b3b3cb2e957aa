/* Text of a guest made fit to be shown: bounded, valid UTF-8, with what a terminal would obey, or
 * an eye would miss, written out. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api.h"

#define FORM_MAX 12u /* bytes of one visible form */
#define MARK_MAX 96u

/* The character at `text`, and its bytes; 0 bytes where there is no well-formed one. */
static size_t decode(const uint8_t *text, size_t left, uint32_t *character)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {
        { 0x80, 0x00, 0 },
        { 0xe0, 0xc0, 0x80 },
        { 0xf0, 0xe0, 0x800 },
        { 0xf8, 0xf0, 0x10000 },
    };
    for (size_t more = 0; more < 4; more++) {
        if ((text[0] & forms[more].mask) != forms[more].lead)
            continue;
        if (more >= left)
            return 0;
        uint32_t found = text[0] & (uint8_t)~forms[more].mask;
        for (size_t i = 1; i <= more; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return 0;
            found = found << 6 | (text[i] & 0x3fu);
        }
        *character = found;
        const bool valid = found >= forms[more].least && found <= 0x10ffff &&
                           (found < 0xd800 || found > 0xdfff);
        return valid ? more + 1 : 0;
    }
    return 0;
}

/* C0, DEL and C1 controls, of which terminals make commands; marks of direction and line
 * separators, which show text in another order or on another line than it has. */
static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0x61c ||
           character == 0x200e || character == 0x200f ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

/* The visible form of what begins at `text`: its bytes; *taken: those of the text. */
static size_t visible_form(const uint8_t *text, size_t left, const char *keep, char form[FORM_MAX],
                           size_t *taken)
{
    uint32_t character;
    *taken = decode(text, left, &character);
    if (*taken == 0) {
        *taken = 1;
        memcpy(form, "\xef\xbf\xbd", 3);
        return 3;
    }
    if (!is_control(character) || (character && character < 0x80 && strchr(keep, (int)character))) {
        memcpy(form, text, *taken);
        return *taken;
    }
    return (size_t)snprintf(form, FORM_MAX, character < 0x100 ? "\\x%02x" : "\\u%04x", character);
}

/* Writes forms while they fit into `room`; returns the bytes written, *taken those of the text. */
static size_t write_forms(const uint8_t *text, size_t length, const char *keep, char *out,
                          size_t room, size_t *taken)
{
    size_t used = 0, at = 0;
    while (at < length) {
        char form[FORM_MAX];
        size_t bytes;
        const size_t size = visible_form(text + at, length - at, keep, form, &bytes);
        if (size > room - used)
            break;
        memcpy(out + used, form, size);
        used += size;
        at += bytes;
    }
    *taken = at;
    return used;
}

/* Where the end of the text begins whose forms fit into `room`. A form has at least the bytes of
 * its character. */
static size_t tail_start(const uint8_t *text, size_t length, const char *keep, size_t room)
{
    char form[FORM_MAX];
    size_t start = length - (room < length ? room : length), size = 0, bytes;
    while (start < length && (text[start] & 0xc0) == 0x80) /* not in the middle of a character */
        start++;
    for (size_t at = start; at < length; at += bytes)
        size += visible_form(text + at, length - at, keep, form, &bytes);
    for (; size > room; start += bytes)
        size -= visible_form(text + start, length - start, keep, form, &bytes);
    return start;
}

size_t udfvm_visible_text(const void *text, size_t length, const char *keep, char *out,
                          size_t capacity)
{
    const uint8_t *from = text;
    const size_t room = capacity - 1;
    size_t taken;
    size_t used = write_forms(from, length, keep, out, room, &taken);
    if (taken < length && room > 2 * MARK_MAX) { /* keep the head and the tail */
        char mark[MARK_MAX];
        const char *apart = strchr(keep, '\n') ? "\n" : " ";
        const size_t size = (size_t)snprintf(
            mark, sizeof mark, "%s[... cut: the whole has %zu bytes ...]%s", apart, length, apart);
        const size_t head = (room - size) / 2;
        used = write_forms(from, length, keep, out, head, &taken);
        memcpy(out + used, mark, size);
        used += size;
        const size_t tail = tail_start(from, length, keep, room - used);
        used += write_forms(from + tail, length - tail, keep, out + used, room - used, &taken);
    }
    out[used] = 0;
    return used;
}
