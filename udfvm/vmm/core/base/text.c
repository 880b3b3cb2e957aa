/* Text of a guest made fit to be shown: bounded, valid UTF-8, with what a terminal would obey, or
 * an eye would miss, written out. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api.h"

#define MAX_FORM 12u /* bytes of one visible form */
#define MAX_MARK 96u /* bytes of what stands where text was left out */

/* The character at `text`, and its bytes; 0 bytes where there is no well-formed one. */
static size_t decode(const uint8_t *text, size_t left, uint32_t *character)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t minimum; /* what is lower has a shorter form */
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
        const bool valid = found >= forms[more].minimum && found <= 0x10ffff &&
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
static size_t visible_form(const uint8_t *text, size_t left, const char *keep, char form[MAX_FORM],
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
    return (size_t)snprintf(form, MAX_FORM, character < 0x100 ? "\\x%02x" : "\\u%04x", character);
}

/* Writes forms while they fit into `capacity`; returns the bytes written, *taken those of the text.
 */
static size_t write_forms(const uint8_t *text, size_t length, const char *keep, char *out,
                          size_t capacity, size_t *taken)
{
    size_t used = 0, offset = 0;
    while (offset < length) {
        char form[MAX_FORM];
        size_t bytes;
        const size_t size = visible_form(text + offset, length - offset, keep, form, &bytes);
        if (size > capacity - used)
            break;
        memcpy(out + used, form, size);
        used += size;
        offset += bytes;
    }
    *taken = offset;
    return used;
}

/* Where the end of the text begins whose forms fit into `capacity`. A form has at least the
 * bytes of its character. */
static size_t tail_start(const uint8_t *text, size_t length, const char *keep, size_t capacity)
{
    char form[MAX_FORM];
    size_t start = length - (capacity < length ? capacity : length), size = 0, bytes;
    while (start < length && (text[start] & 0xc0) == 0x80) /* not in the middle of a character */
        start++;
    for (size_t offset = start; offset < length; offset += bytes)
        size += visible_form(text + offset, length - offset, keep, form, &bytes);
    for (; size > capacity; start += bytes)
        size -= visible_form(text + start, length - start, keep, form, &bytes);
    return start;
}

size_t udfvm_visible_text(const void *text, size_t length, const char *keep, char *out,
                          size_t capacity)
{
    const uint8_t *bytes = text;
    const size_t usable = capacity - 1; /* the NUL is the last */
    size_t taken;
    size_t used = write_forms(bytes, length, keep, out, usable, &taken);
    if (taken < length && usable > 2 * MAX_MARK) { /* keep the head and the tail */
        char mark[MAX_MARK];
        const char *apart = strchr(keep, '\n') ? "\n" : " ";
        const size_t size = (size_t)snprintf(mark, sizeof mark,
                                             "%s[... cut: the whole has %s ...]%s", apart,
                                             udfvm_format_size(length).text, apart);
        const size_t head = (usable - size) / 2;
        used = write_forms(bytes, length, keep, out, head, &taken);
        memcpy(out + used, mark, size);
        used += size;
        const size_t tail = tail_start(bytes, length, keep, usable - used);
        used += write_forms(bytes + tail, length - tail, keep, out + used, usable - used, &taken);
    }
    out[used] = 0;
    return used;
}
