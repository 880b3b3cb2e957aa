/* See characters.h. */
#include "shared/compiled/characters.h"

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
