/* Replies of numbers alone, and nulls of arrays through Arrow's C data interface, in the fast path
 * of Python, of which nothing else is linked. */
#include "arrow_arrays.h"
#include "number_replies.h"

#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* As number_streams.py makes layouts: a head with two numbers in it, then the data. */
static void find_numbers(struct input input)
{
    char head[64];
    const uint64_t size = input_byte(&input);
    memset(head, 'h', sizeof head);
    const struct reply_layout layout = { .head = head,
                                         .head_length = sizeof head,
                                         .data = sizeof head,
                                         .length = sizeof head + size,
                                         .size = size,
                                         .body_field = 8,
                                         .offset_field = 24 };
    uint64_t begin = 0, words[2] = { input_number(&input), input_number(&input) };
    memcpy(head + layout.body_field, &words[0], sizeof words[0]);
    memcpy(head + layout.offset_field, &words[1], sizeof words[1]);
    size_t length = input_byte(&input) * 4u;
    uint8_t *reply = calloc(1, length + 1);
    memcpy(reply, head, length < sizeof head ? length : sizeof head);
    if (input_byte(&input) & 1 && length >= sizeof head + size) {
        words[0] = length - sizeof head;
        words[1] = length - size - sizeof head;
        memcpy(reply + layout.body_field, words, 8);
        memcpy(reply + layout.offset_field, words + 1, 8);
    }
    uint8_t *exact = realloc(reply, length ? length : 1);
    if (reply_has_numbers(&layout, exact, length, &begin)) {
        if (begin > length || size > length - begin)
            defect("numbers outside of their reply");
        read_all(exact + begin, size);
    }
    free(exact);
}

/* An array says how many of its values are null, or leaves it to be counted. */
static void find_nulls(struct input input)
{
    const int64_t offset = input_byte(&input) % 64, length = input_byte(&input) % 64;
    const uint8_t how = input_byte(&input);
    const size_t bytes = (size_t)(offset + length + 7) / 8;
    uint8_t *validity = calloc(1, bytes + 1);
    size_t given = bytes;
    const uint8_t *from = input_bytes(&input, &given);
    bool any = false;
    memcpy(validity, from, given);
    uint8_t *exact = realloc(validity, bytes ? bytes : 1);
    const void *buffers[2] = { how & 1 ? exact : NULL, NULL };
    const struct arrow_array array = { .length = length,
                                       .offset = offset,
                                       .null_count = how & 2 ? (how >> 4) - 1 : -1,
                                       .n_buffers = 2,
                                       .buffers = buffers };
    for (int64_t row = offset; row < offset + length; row++)
        any |= !(exact[row / 8] >> row % 8 & 1);
    if (!(how & 2) && arrow_has_nulls(&array) != (any && how & 1))
        defect("nulls that are counted wrongly");
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct input input = { data, size };
    find_numbers(input);
    find_nulls(input);
    return 0;
}
