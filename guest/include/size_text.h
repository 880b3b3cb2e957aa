/* A number of bytes as text, in units that are powers of 1024: "1.4 MiB". For host and guest, so it
 * needs neither a C library nor floats. */
#ifndef SIZE_TEXT_H
#define SIZE_TEXT_H

#include <stdint.h>

enum { SIZE_TEXT = 32 }; /* the longest text and its end */

struct size_text {
    char text[SIZE_TEXT];
};

/* Returns tenths of a unit of 2^shift bytes: the nearest, or the even one of two. */
static inline uint64_t size_in_tenths(uint64_t bytes, unsigned shift)
{
    const uint64_t unit = (uint64_t)1 << shift, low = (bytes & (unit - 1)) * 10,
                   tenths = (bytes >> shift) * 10 + (low >> shift), rest = low & (unit - 1);
    return tenths + (rest > unit / 2 || (rest == unit / 2 && tenths % 2 == 1));
}

static inline char *size_put_number(char *to, uint64_t number)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

static inline char *size_put_text(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static inline struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = { " KiB", " MiB", " GiB", " TiB" };
    struct size_text made;
    char *to = made.text;
    if (bytes < 1024) {
        to = size_put_text(size_put_number(to, bytes), bytes == 1 ? " byte" : " bytes");
    } else {
        unsigned unit = 0;
        while (unit < 3 && size_in_tenths(bytes, 10 * (unit + 1)) >= 10240)
            unit++;
        const uint64_t tenths = size_in_tenths(bytes, 10 * (unit + 1));
        to = size_put_number(to, tenths / 10);
        if (tenths % 10 > 0)
            to = size_put_number(size_put_text(to, "."), tenths % 10);
        to = size_put_text(to, units[unit]);
    }
    *to = 0;
    return made;
}

#endif
