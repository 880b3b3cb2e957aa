/* Inputs of fuzzers: see input.h. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "udfvm_abi.h"

void defect(const char *what)
{
    fprintf(stderr, "DEFECT: %s\n", what);
    abort();
}

/* memcmp(3) is the address sanitizer's, which checks all that it may read. */
void read_all(const void *data, size_t length)
{
    const void *volatile same = data;
    if (length && memcmp(data, same, length) != 0)
        defect("what is read changes");
}

uint8_t input_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

uint64_t input_word(struct input *input)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)input_byte(input) << 8 * i;
    return word;
}

uint64_t input_number(struct input *input)
{
    static const uint64_t numbers[] = {
        0,
        1,
        2,
        3,
        8,
        16,
        255,
        4096,
        65536,
        65537,
        GUEST_PLACE,
        GUEST_PLACE + 8,
        GUEST_PLACE + 4095,
        UDFVM_KERNEL_BASE,
        UDFVM_STREAM_REPLY,
        GUEST_MEMORY,
        GUEST_MEMORY - 1,
        GUEST_MEMORY - 4096,
        UDFVM_INPUT_BASE,
        UDFVM_OUTPUT_BASE,
        UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
        UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT - 1,
        UDFVM_OUTPUT_BASE + 2 * UDFVM_LOGGED_OUTPUT - 8,
        UDFVM_LOGGED_OUTPUT,
        UDFVM_MAX_HOST_MESSAGE,
        UDFVM_MAX_HOST_MESSAGE + 1,
        1ull << 30,
        (1ull << 30) + 1,
        INT32_MAX,
        UINT32_MAX,
        INT64_MAX,
        1ull << 63,
        UINT64_MAX - 4095,
        UINT64_MAX - 1,
        UINT64_MAX,
        GUEST_PLACE + 4096,
        UDFVM_RESERVE_BASE,
        UDFVM_RESERVE_BASE + 4096,
        UDFVM_RESERVE_BASE + (1ull << 30) - 4096,
        UDFVM_RESERVE_END - 4096,
        UDFVM_RESERVE_END - 8,
        UDFVM_TIMER,
        UDFVM_PENDING_LOG,
    };
    const size_t count = sizeof numbers / sizeof *numbers;
    const uint8_t which = input_byte(input);
    if (which < count)
        return numbers[which];
    return which < 128 ? input_byte(input) : input_word(input);
}

const uint8_t *input_bytes(struct input *input, size_t *length)
{
    const uint8_t *bytes = input->at;
    *length = *length < input->left ? *length : input->left;
    input->at += *length;
    input->left -= *length;
    return bytes;
}
