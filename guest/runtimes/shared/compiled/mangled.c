/* See mangled.h. */
#include "shared/compiled/mangled.h"

#include <string.h>

bool mangled_fail(struct mangled *mangled)
{
    mangled->failed = true;
    return false;
}

bool mangled_enter(struct mangled *mangled)
{
    mangled->depth++;
    if (mangled->failed || mangled->depth > MAX_MANGLED_DEPTH ||
        mangled->steps++ > MAX_MANGLED_STEPS)
        mangled_fail(mangled);
    return !mangled->failed;
}

void mangled_leave(struct mangled *mangled)
{
    mangled->depth--;
}

char mangled_peek(const struct mangled *mangled)
{
    return mangled->at < mangled->end ? *mangled->at : 0;
}

bool mangled_take(struct mangled *mangled, char character)
{
    if (mangled->at >= mangled->end || *mangled->at != character)
        return false;
    mangled->at++;
    return true;
}

size_t mangled_number(struct mangled *mangled)
{
    size_t number = 0;
    const char *start = mangled->at;
    while (mangled_peek(mangled) >= '0' && mangled_peek(mangled) <= '9' && number < 100000)
        number = number * 10 + (size_t)(*mangled->at++ - '0');
    if (mangled->at == start)
        mangled_fail(mangled);
    return number;
}

const char *mangled_bytes(struct mangled *mangled, size_t length)
{
    const char *bytes = mangled->at;
    if (mangled->failed || length == 0 || length > (size_t)(mangled->end - mangled->at)) {
        mangled_fail(mangled);
        return NULL;
    }
    mangled->at += length;
    return bytes;
}

void mangled_put(struct mangled *mangled, const char *text, size_t length)
{
    const size_t left = mangled->size - 1 - mangled->used;
    length = length < left ? length : left;
    memcpy(mangled->text + mangled->used, text, length);
    mangled->used += length;
}

void mangled_print(struct mangled *mangled, const char *text)
{
    mangled_put(mangled, text, strlen(text));
}
