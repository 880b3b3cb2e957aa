/* UTF-8: see utf8.h. */
#include "wire/utf8.h"

#include <string.h>

/* Returns the length of the character that a first byte begins; 0 if it begins none. */
static size_t announced(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

/* No overlong forms, no surrogates, nothing past U+10FFFF (RFC 3629, section 4). */
static bool second_valid(uint8_t first, uint8_t second)
{
    const uint8_t smallest = first == 0xe0   ? 0xa0
                             : first == 0xf0 ? 0x90
                                             : 0x80,
                  largest = first == 0xed   ? 0x9f
                            : first == 0xf4 ? 0x8f
                                            : 0xbf;
    return second >= smallest && second <= largest;
}

/* Returns the bytes of the well-formed character at `text`; 0 if there is none. */
static size_t utf8_sequence(const uint8_t *text, size_t length)
{
    const size_t bytes = announced(text[0]);
    if (bytes <= 1 || length < bytes)
        return bytes == 1;
    if (!second_valid(text[0], text[1]))
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

bool utf8_valid(const uint8_t *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint64_t word;
        if (length - i >= sizeof word) {
            memcpy(&word, text + i, sizeof word);
            if (!(word & 0x8080808080808080ull)) {
                i += sizeof word;
                continue;
            }
        }
        size_t bytes = utf8_sequence(text + i, length - i);
        if (!bytes)
            return false;
        i += bytes;
    }
    return true;
}
