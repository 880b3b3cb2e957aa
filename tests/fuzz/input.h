/* The input of a fuzzer, taken apart from its start; and what fuzzers say and read. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "udfvm_abi.h"

#define GUEST_MEMORY (16ull << 20)
#define GUEST_WINDOW (2ull << 20)

/* Where the guest puts what hypercalls point to. */
#define GUEST_PLACE UDFVM_PROGRAM_BASE

/* What is left of an input. Past its end there are zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};
uint8_t input_byte(struct input *input);
uint64_t input_word(struct input *input);
/* A number that checks of bounds care about, or any. */
uint64_t input_number(struct input *input);
/* So many bytes, or as many as there are; *length says which. */
const uint8_t *input_bytes(struct input *input, size_t *length);

/* Reads all of it, as a consumer would. */
void read_all(const void *data, size_t length);
/* Ends the run as a defect. */
_Noreturn void defect(const char *what);

#endif
