/* Random bytes: ChaCha20 (RFC 8439) keyed by the seed that the host gives each call. Every request
 * is a stream of its own, numbered by the nonce, so no key stream is kept and nothing of it can be
 * read later. */
#include "sched/calls.h"
#include "arch/clock.h"
#include "lib/random.h"

static HOT_DATA struct {
    uint64_t sequence, requests;
} stream;

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

static void quarter_round(uint32_t *s, int a, int b, int c, int d)
{
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 16);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 12);
    s[a] += s[b];
    s[d] = rotate(s[d] ^ s[a], 8);
    s[c] += s[d];
    s[b] = rotate(s[b] ^ s[c], 7);
}

void chacha20_block(const uint8_t key[32], uint32_t counter, const uint8_t nonce[12],
                    uint8_t out[64])
{
    uint32_t start[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
    uint32_t state[16];
    memcpy(&start[4], key, 32);
    start[12] = counter;
    memcpy(&start[13], nonce, 12);
    memcpy(state, start, sizeof state);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            quarter_round(state, i, 4 + i, 8 + i, 12 + i);
        for (int i = 0; i < 4; i++)
            quarter_round(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        state[i] += start[i];
    memcpy(out, state, 64);
}

void random_bytes(void *buffer, size_t length)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    uint8_t nonce[12] = { 0 }, block[64], *out = buffer;
    if (stream.sequence != call->sequence && !clock_is_fixed()) {
        stream.sequence = call->sequence;
        stream.requests = 0;
    }
    stream.requests++;
    memcpy(nonce, &stream.requests, sizeof stream.requests);
    for (uint32_t counter = 0; length; counter++) {
        const size_t part = minimum(length, sizeof block);
        chacha20_block(call->seed, counter, nonce, block);
        memcpy(out, block, part);
        out += part;
        length -= part;
    }
}

void random_prepare_seal(void)
{
    stream.sequence = 0; /* the first call of a VM may bear the number of the one that sealed it */
    stream.requests = 0;
}

void random_begin_row(void)
{
    stream.requests = 0;
}

#define RANDOM_MOST (32ull << 20) /* as getrandom(2): a request may be answered in part */

SYSCALL(sys_getrandom)
{
    const uint64_t length = minimum(b, RANDOM_MOST);
    if (c & ~7ull) /* GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE */
        return -EINVAL;
    if (!user_range_ok(a, length))
        return -EFAULT;
    random_bytes((void *)a, length);
    return (int64_t)length;
}
