/* Texts of the ABI are UTF-8 (Unicode standard, table 3-7; RFC 3629): guest and host check what
 * they are given by the same code. */
#ifndef UDFVM_UTF8_H
#define UDFVM_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the sequence that a byte begins; 0: it begins none. */
static inline size_t utf8_announced(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Neither a longer form of a shorter sequence, nor half of a surrogate pair, nor past U+10FFFF. */
static inline bool utf8_second_fits(uint8_t first, uint8_t second)
{
    const uint8_t lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= lowest && second <= highest;
}

/* Length of the character at `bytes`, of which there are `left`, at least one; 0: it is none. */
static inline size_t utf8_sequence(const void *bytes, size_t left)
{
    const uint8_t *at = (const uint8_t *)bytes;
    const size_t length = utf8_announced(at[0]);
    if (length <= 1)
        return length;
    if (length > left || !utf8_second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* Whether bytes are well-formed UTF-8. */
static inline bool utf8_is_valid(const void *bytes, size_t length)
{
    const uint8_t *at = (const uint8_t *)bytes;
    while (length > 0) {
        uint64_t eight;
        size_t step = 0;
        if (length >= sizeof eight) {
            __builtin_memcpy(&eight, at, sizeof eight);
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

#endif
