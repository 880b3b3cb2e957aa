/* A checksum against damage, not forgery: four lanes of multiply, rotate and xor, in the manner of
 * xxHash64's rounds (BSD-licensed specification by Y. Collet), finished by mixing every lane into
 * every other. */
#include "image/checksum.h"

#include <string.h>

#define PRIME_1 0x9e3779b185ebca87ull
#define PRIME_2 0xc2b2ae3d27d4eb4full

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

void udfvm_checksum_start(struct checksum *sum)
{
    *sum = (struct checksum){ { PRIME_1 + PRIME_2, PRIME_2, 1, PRIME_1 } };
}

void udfvm_checksum_add(struct checksum *sum, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t lanes[4];
    memcpy(lanes, sum->lanes, sizeof lanes);
    for (; length >= 32; length -= 32, bytes += 32) {
        uint64_t words[4];
        memcpy(words, bytes, sizeof words);
        for (int i = 0; i < 4; i++)
            lanes[i] = rotate(lanes[i] + words[i] * PRIME_2, 31) * PRIME_1;
    }
    memcpy(sum->lanes, lanes, sizeof lanes);
    if (length) {
        uint8_t last[32] = { 0 };
        memcpy(last, bytes, length);
        last[31] = (uint8_t)(last[31] ^ length);
        udfvm_checksum_add(sum, last, sizeof last);
    }
}

void udfvm_checksum_digest(const struct checksum *sum, uint8_t digest[32])
{
    uint64_t lanes[4];
    memcpy(lanes, sum->lanes, sizeof lanes);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++) {
            uint64_t mixed = lanes[i] ^ rotate(lanes[(i + 1) & 3] * PRIME_2, 29);
            mixed = (mixed ^ mixed >> 33) * PRIME_1;
            lanes[i] = mixed ^ mixed >> 29;
        }
    memcpy(digest, lanes, sizeof lanes);
}
