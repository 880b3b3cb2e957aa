/* See bytes.h. */
#include "shared/compiled/bytes.h"

#include <stdlib.h>
#include <string.h>

#define MIN_CAPACITY 64

static uint8_t *grow(struct bytes *bytes, size_t length)
{
    size_t capacity = bytes->capacity ? bytes->capacity : MIN_CAPACITY;
    if (length > SIZE_MAX / 4 - bytes->length)
        abort();
    while (capacity < bytes->length + length)
        capacity *= 2;
    if (capacity != bytes->capacity) {
        uint8_t *at = realloc(bytes->at, capacity);
        if (!at)
            abort();
        bytes->at = at;
        bytes->capacity = capacity;
    }
    bytes->length += length;
    return bytes->at + bytes->length - length;
}

void bytes_put(struct bytes *bytes, const void *from, size_t length)
{
    if (length > 0)
        memcpy(grow(bytes, length), from, length);
}

void bytes_text(struct bytes *bytes, const char *text)
{
    bytes_put(bytes, text, strlen(text));
}

uint8_t *bytes_extend(struct bytes *bytes, size_t length)
{
    return memset(grow(bytes, length), 0, length);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct bytes){ NULL, 0, 0 };
}
