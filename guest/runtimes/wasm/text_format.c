/* See text_format.h. */
#include "wasm/text_format.h"

#include <string.h>

#include "shared/compiled/characters.h"
#include "utf8.h"

#define REPLACEMENT   0xfffdu
#define HIGH_HALVES   0xd800u
#define LOW_HALVES    0xdc00u
#define END_OF_HALVES 0xe000u
#define FIRST_PAIR    0x10000u

const uint8_t *script_object(const struct linear *linear, uint32_t address, uint32_t *length)
{
    const uint8_t *head = address >= sizeof *length
                              ? linear_at(linear, address - sizeof *length, sizeof *length)
                              : NULL;
    if (!head)
        return NULL;
    memcpy(length, head, sizeof *length);
    return linear_at(linear, address, *length);
}

bool script_is(const struct linear *linear, uint32_t address, uint32_t class)
{
    uint32_t head[2]; /* the class, the length */
    const uint8_t *at = address >= sizeof head
                            ? linear_at(linear, address - sizeof head, sizeof head)
                            : NULL;
    if (at)
        memcpy(head, at, sizeof head);
    return at && head[0] == class;
}

static uint32_t unit_at(const uint8_t *text, size_t length, size_t at)
{
    return at + 1 < length ? (uint32_t)(text[at] | text[at + 1] << 8) : 0;
}

void utf16_to_utf8(const uint8_t *text, size_t length, struct bytes *to)
{
    for (size_t at = 0; at + 1 < length; at += 2) {
        uint32_t point = unit_at(text, length, at);
        const uint32_t next = unit_at(text, length, at + 2);
        if (point >= HIGH_HALVES && point < LOW_HALVES && next >= LOW_HALVES &&
            next < END_OF_HALVES) {
            point = FIRST_PAIR + ((point - HIGH_HALVES) << 10) + (next - LOW_HALVES);
            at += 2;
        } else if (point >= HIGH_HALVES && point < END_OF_HALVES) {
            point = REPLACEMENT;
        }
        char sequence[UTF8_MAX_SEQUENCE];
        bytes_put(to, sequence, utf8_encode(point, sequence));
    }
}

static void put_unit(uint32_t unit, struct bytes *to)
{
    const uint8_t bytes[2] = { unit & 0xff, unit >> 8 & 0xff };
    bytes_put(to, bytes, sizeof bytes);
}

void utf8_to_utf16(const char *text, size_t length, struct bytes *to)
{
    for (size_t at = 0; at < length;) {
        const size_t step = utf8_sequence(text + at, length - at);
        const uint32_t point = step ? utf8_decode(text + at, step) : REPLACEMENT;
        at += step ? step : 1;
        if (point < FIRST_PAIR) {
            put_unit(point, to);
        } else {
            put_unit(HIGH_HALVES + ((point - FIRST_PAIR) >> 10), to);
            put_unit(LOW_HALVES + ((point - FIRST_PAIR) & 0x3ff), to);
        }
    }
}
