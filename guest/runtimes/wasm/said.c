/* See said.h. */
#include "wasm/said.h"

#include <stdbool.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/utf8.h"

#define KEPT 4096u /* bytes that are shown, and at least so many not forgotten */

static struct {
    char bytes[2 * KEPT];
    size_t length;
    bool cut; /* there was more before them */
} said;

void said_begin(void)
{
    if (said.length > 0) { /* a page that is not written to need not be put back after the call */
        said.length = 0;
        said.cut = false;
    }
}

void said_put(const unsigned char *bytes, size_t length)
{
    if (length > KEPT) {
        said.cut = true;
        bytes += length - KEPT;
        length = KEPT;
    }
    if (length > sizeof said.bytes - said.length) { /* then there are more than KEPT */
        said.cut = true;
        memmove(said.bytes, said.bytes + said.length - KEPT, KEPT);
        said.length = KEPT;
    }
    memcpy(said.bytes + said.length, bytes, length);
    said.length += length;
}

/* A copy of [from, end) as text: a '?' for each byte that is no UTF-8. What is left of a character
 * that was cut is left out. */
static void copy_text(char *to, const char *from, const char *end, bool cut)
{
    while (cut && from < end && (*from & 0xc0) == 0x80)
        from++;
    while (from < end) {
        const size_t length = *from ? utf8_sequence(from, (size_t)(end - from)) : 0;
        if (length > 0)
            memcpy(to, from, length);
        else
            *to = '?';
        to += length > 0 ? length : 1;
        from += length > 0 ? length : 1;
    }
    *to = 0;
}

void said_trace(const char *separator)
{
    char text[KEPT + 1];
    const char *begin = said.bytes, *end = begin + said.length;
    while (end > begin && end[-1] == '\n')
        end--;
    while (begin < end && *begin == '\n') /* a panic begins with one */
        begin++;
    if (begin == end)
        return;
    const bool cut = said.cut || end - begin > (ptrdiff_t)KEPT;
    if (end - begin > (ptrdiff_t)KEPT)
        begin = end - KEPT;
    copy_text(text, begin, end, cut);
    failure_trace("%sIts standard error:\n%s%s", separator, cut ? "..." : "", text);
}
