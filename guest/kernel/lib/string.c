/* Memory and text. Without vector registers, the string instructions copy and fill fastest. */
#include "lib/string.h"

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    if ((uintptr_t)to - (uintptr_t)from >= length)
        return memcpy(to, from, length);
    uint8_t *last_to = (uint8_t *)to + length - 1;
    const uint8_t *last_from = (const uint8_t *)from + length - 1;
    size_t bytes = length % 8, words = length / 8;
    __asm__ volatile("std\n\trep movsb"
                     : "+D"(last_to), "+S"(last_from), "+c"(bytes)
                     :
                     : "memory", "cc");
    last_to -= 7;
    last_from -= 7;
    __asm__ volatile("rep movsq\n\tcld"
                     : "+D"(last_to), "+S"(last_from), "+c"(words)
                     :
                     : "memory", "cc");
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(length) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left, *b = right;
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, SIZE_MAX);
}

int strncmp(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (left[i] != right[i])
            return (uint8_t)left[i] - (uint8_t)right[i];
        if (!left[i])
            break;
    }
    return 0;
}

struct output {
    char *buffer;
    size_t size, length;
};

static void put(struct output *out, char character)
{
    if (out->length + 1 < out->size)
        out->buffer[out->length++] = character;
}

static void put_text(struct output *out, const char *text, size_t width, bool left)
{
    size_t length = strlen(text);
    for (size_t i = length; !left && i < width; i++)
        put(out, ' ');
    for (size_t i = 0; i < length; i++)
        put(out, text[i]);
    for (size_t i = length; left && i < width; i++)
        put(out, ' ');
}

static void put_number(struct output *out, uint64_t value, unsigned base, bool negative,
                       size_t width, char fill)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative && fill == '0')
        put(out, '-');
    for (size_t i = count + negative; i < width; i++)
        put(out, fill);
    if (negative && fill != '0')
        put(out, '-');
    while (count)
        put(out, digits[--count]);
}

struct directive {
    size_t width;
    bool left, is_long;
    char fill, type;
};

static const char *parse_directive(const char *at, struct directive *directive)
{
    *directive = (struct directive){ .fill = ' ' };
    for (; *at == '-' || *at == '0'; at++) {
        if (*at == '-')
            directive->left = true;
        else
            directive->fill = '0';
    }
    for (; *at >= '0' && *at <= '9'; at++)
        directive->width = directive->width * 10 + (size_t)(*at - '0');
    for (; *at == 'l' || *at == 'z'; at++)
        directive->is_long = true;
    directive->type = *at;
    return *at ? at + 1 : at;
}

struct format_arguments { /* a va_list is an array, which cannot be passed on by its address */
    va_list list;
};

/* Takes the directive's argument from the list. */
static void put_argument(struct output *out, const struct directive *directive,
                         struct format_arguments *arguments)
{
    uint64_t value;
    int64_t number;
    switch (directive->type) {
    case 's':
        put_text(out, va_arg(arguments->list, const char *), directive->width, directive->left);
        break;
    case 'c':
        put(out, (char)va_arg(arguments->list, int));
        break;
    case 'd':
        number = directive->is_long ? va_arg(arguments->list, int64_t)
                                    : va_arg(arguments->list, int);
        put_number(out, number < 0 ? -(uint64_t)number : (uint64_t)number, 10, number < 0,
                   directive->width, directive->fill);
        break;
    case 'u':
    case 'x':
        value = directive->is_long ? va_arg(arguments->list, uint64_t)
                                   : va_arg(arguments->list, unsigned);
        put_number(out, value, directive->type == 'x' ? 16 : 10, false, directive->width,
                   directive->fill);
        break;
    default:
        put(out, '%');
    }
}

static size_t format_list(char *buffer, size_t size, const char *pattern, va_list list)
{
    struct output out = { buffer, size, 0 };
    struct directive directive;
    struct format_arguments arguments;
    va_copy(arguments.list, list);
    while (*pattern) {
        if (*pattern != '%') {
            put(&out, *pattern++);
            continue;
        }
        pattern = parse_directive(pattern + 1, &directive);
        put_argument(&out, &directive, &arguments);
    }
    va_end(arguments.list);
    if (size)
        buffer[out.length] = 0;
    return out.length;
}

size_t format(char *buffer, size_t size, const char *pattern, ...)
{
    va_list arguments;
    va_start(arguments, pattern);
    size_t length = format_list(buffer, size, pattern, arguments);
    va_end(arguments);
    return length;
}
