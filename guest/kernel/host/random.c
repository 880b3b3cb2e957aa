/* Random bytes: ChaCha20 (RFC 8439) keyed by the seed that the host gives each call. Every request
 * is a stream of its own, numbered by the nonce. So no key stream is kept, and earlier bytes cannot
 * be recovered. */
#include "host/random.h"
#include "host/call.h"
#include "host/clock.h"
#include "lib/chacha20.h"
#include "lib/string.h"

static HOT_DATA struct {
    uint64_t sequence, requests;
} stream;

/* Linux gives the program these bytes on its stack, so it may write there, and the runtime of Go
 * does. A page that calls write is put back after each: they share that of faults and timers. */
static uint8_t *auxiliary(void)
{
    return (uint8_t *)UDFVM_RANDOM;
}

void random_bytes(void *buffer, size_t length)
{
    uint8_t nonce[12] = { 0 }, block[CHACHA20_BLOCK], *out = buffer;
    if (stream.sequence != call_page()->sequence && !clock_is_fixed()) {
        stream.sequence = call_page()->sequence;
        stream.requests = 0;
    }
    stream.requests++;
    memcpy(nonce, &stream.requests, sizeof stream.requests);
    for (uint32_t counter = 0; length; counter++) {
        const size_t part = minimum(length, sizeof block);
        chacha20_block(call_page()->seed, counter, nonce, block);
        memcpy(out, block, part);
        out += part;
        length -= part;
    }
}

void random_prepare_seal(void)
{
    stream.sequence = 0; /* the first call of a VM may have the number of the call that sealed it */
    stream.requests = 0;
}

const uint8_t *random_auxiliary(void)
{
    return auxiliary();
}

void random_begin_call(void)
{
    memcpy(auxiliary(), call_page()->random, sizeof call_page()->random);
}

void random_begin_row(void)
{
    stream.requests = 0;
    random_begin_call();
}
