/* Copying batches into guest memory, on two processors where they are large.
 *
 * A call touches three times the bytes of its batch: the caller's column, the window and the
 * result. Where that is more than the cache holds, the window had better be written past it, which
 * spares the reading of what is overwritten; where it is less, the guest finds the batch in the
 * cache. The cache is shared with what else runs on the machine, so a fifth of it is taken for a
 * column's part.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "api.h"
#include "base/worker.h"

#define LARGE \
    ((size_t)2 << 20) /* from here on a second processor helps: it takes some 50 us to begin */
#define CHUNK ((size_t)256 << 10)
#define LINE  64u
#define CACHE ((size_t)32 << 20) /* where the processor does not say */

struct copy {
    struct work work;
    uint8_t *to;
    const uint8_t *from;
    size_t length;
    bool streams;
};

/* Past the caches: what is written is not read from memory first. `to` is aligned, `length` a
 * multiple of a line. */
static void stream_lines(uint8_t *to, const uint8_t *from, size_t length)
{
    for (size_t offset = 0; offset < length; offset += LINE) {
        const __m128i *source = (const __m128i *)(from + offset);
        __m128i *target = (__m128i *)(to + offset);
        const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
    }
    _mm_sfence();
}

static void copy_chunk(struct work *work, size_t index)
{
    const struct copy *copy = (const struct copy *)work;
    const size_t start = index * CHUNK,
                 length = copy->length - start < CHUNK ? copy->length - start : CHUNK;
    uint8_t *to = copy->to + start;
    const uint8_t *from = copy->from + start;
    const size_t head = -(uintptr_t)to % LINE, lines = (length - head) & -(size_t)LINE;
    if (!copy->streams || length < head) {
        memcpy(to, from, length);
        return;
    }
    memcpy(to, from, head);
    stream_lines(to + head, from + head, lines);
    memcpy(to + head + lines, from + head + lines, length - head - lines);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static size_t streams_from;

static void measure_cache(void)
{
#ifdef _SC_LEVEL3_CACHE_SIZE
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
    const long cache = 0; /* musl does not tell */
#endif
    streams_from = (cache > 0 ? (size_t)cache : CACHE) / 5;
}

void udfvm_copy(void *to, const void *from, size_t length)
{
    if (length < LARGE) {
        memcpy(to, from, length);
        return;
    }
    pthread_once(&once,
                 measure_cache); /* asking takes long where the processor is itself a virtual one */
    struct copy copy = {
        .to = to, .from = from, .length = length, .streams = length >= streams_from
    };
    copy.work = (struct work){ .chunk = copy_chunk, .chunks = (length - 1) / CHUNK + 1 };
    udfvm_work_offer(&copy.work);
    udfvm_work_finish(&copy.work);
}
