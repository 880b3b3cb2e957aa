/* See utf8.h. */
#include "shared/compiled/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the sequence that a byte begins; 0: it begins none. */
static size_t length_by_first(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Neither a longer form of a shorter sequence, nor half of a surrogate pair, nor past U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t second)
{
    const uint8_t lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= lowest && second <= highest;
}

size_t utf8_sequence(const char *bytes, size_t left)
{
    const uint8_t *at = (const uint8_t *)bytes;
    const size_t length = length_by_first(at[0]);
    if (length <= 1)
        return length;
    if (length > left || !second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool utf8_is_valid(const char *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        uint64_t eight;
        size_t step = 0;
        if (length >= sizeof eight) {
            memcpy(&eight, at, sizeof eight);
            step = eight & 0x8080808080808080u ? 0 : sizeof eight;
        }
        if (step == 0)
            step = utf8_sequence(at, length);
        if (step == 0)
            return false;
        at += step;
        length -= step;
    }
    return true;
}

size_t utf8_encode(uint32_t point, char to[UTF8_MAX_SEQUENCE])
{
    static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    const unsigned more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    to[0] = (char)(marks[more] | point >> (6 * more));
    for (unsigned i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (point >> (6 * (more - i)) & 0x3f));
    return 1 + more;
}

uint32_t utf8_decode(const char *bytes, size_t length)
{
    const uint8_t first = (uint8_t)bytes[0];
    uint32_t point = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        point = point << 6 | ((uint8_t)bytes[i] & 0x3f);
    return point;
}
