/* See utf8.h. */
#include "shared/compiled/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_sequence(const char *bytes, size_t left)
{
    const uint8_t *at = (const uint8_t *)bytes;
    const uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    const size_t length = first < 0xc2   ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;
    if (length == 0 || length > left)
        return 0;
    const uint8_t lowest = first == 0xe0   ? 0xa0
                           : first == 0xf0 ? 0x90
                                           : 0x80,
                  highest = first == 0xed   ? 0x9f
                            : first == 0xf4 ? 0x8f
                                            : 0xbf;
    if (at[1] < lowest || at[1] > highest)
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
