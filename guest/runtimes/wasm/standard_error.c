/* See standard_error.h. */
#include "wasm/standard_error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "shared/compiled/failure.h"
#include "utf8.h"

#define TAIL_BYTES 4096u /* bytes that an error shows; the buffer keeps at least so many */

static struct {
    char bytes[2 * TAIL_BYTES];
    size_t length;
    bool cut; /* earlier bytes were dropped */
} tail;

void standard_error_begin(void)
{
    if (tail.length > 0) { /* a page that is not written need not be restored after the call */
        tail.length = 0;
        tail.cut = false;
    }
}

static void append(const unsigned char *bytes, size_t length)
{
    if (length > TAIL_BYTES) {
        tail.cut = true;
        bytes += length - TAIL_BYTES;
        length = TAIL_BYTES;
    }
    if (length > sizeof tail.bytes - tail.length) { /* the buffer has more than TAIL_BYTES */
        tail.cut = true;
        memmove(tail.bytes, tail.bytes + tail.length - TAIL_BYTES, TAIL_BYTES);
        tail.length = TAIL_BYTES;
    }
    memcpy(tail.bytes + tail.length, bytes, length);
    tail.length += length;
}

ptrdiff_t standard_error_log(void *unused, const unsigned char *bytes, size_t length)
{
    (void)unused;
    append(bytes, length);
    return write(STDERR_FILENO, bytes, length) < 0 ? -errno : (ptrdiff_t)length;
}

void standard_print(FILE *stream, struct bytes *line)
{
    bytes_text(line, "\n");
    if (stream == stderr)
        standard_error_log(NULL, line->at, line->length);
    else
        fwrite(line->at, 1, line->length, stream);
    bytes_free(line);
}

/* Copies [from, end) as text, with '?' for each invalid byte of UTF-8. It omits the rest of a
 * character that was cut. */
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

void standard_error_trace(const char *separator)
{
    char text[TAIL_BYTES + 1];
    const char *begin = tail.bytes, *end = begin + tail.length;
    while (end > begin && end[-1] == '\n')
        end--;
    while (begin < end && *begin == '\n') /* a panic's message begins with one */
        begin++;
    if (begin == end)
        return;
    const bool cut = tail.cut || end - begin > (ptrdiff_t)TAIL_BYTES;
    if (end - begin > (ptrdiff_t)TAIL_BYTES)
        begin = end - TAIL_BYTES;
    copy_text(text, begin, end, cut);
    failure_trace("%sIts standard error:\n%s%s", separator, cut ? "..." : "", text);
}
