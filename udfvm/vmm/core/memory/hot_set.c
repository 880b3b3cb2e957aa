/* The hot set.
 *
 * The hypervisor logs which pages of the memory slot the guest wrote (span.c adds what the host
 * writes). Bits are read but not cleared, so a page that was written once stays writable and never
 * faults again; instead it belongs to the hot set, whose pages are all copied back from the image
 * after every call, neighbours in one go. Pages that calls have stopped writing leave the set:
 * their bits are cleared, which write-protects them again. A page that calls write with what it
 * holds seems to be one: it comes back unchanged, and stays longer. The memory of pages that left
 * is given back once there are more than a few of them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "udfvm_abi.h"

#include "base/error.h"
#include "base/pages.h"
#include "memory/memory.h"

#define SAMPLE_EVERY 64u   /* restores between two looks at which hot pages were really written */
#define SAMPLES_IDLE 4u    /* a page not written in so many samples cools */
#define SAME_IDLE    32u   /* the same, of a page that calls write with what it holds */
#define LARGE_SET    1024u /* pages; copying them costs more than the call itself */
#define MAX_COLD                                                                                   \
    384u /* cooled pages whose memory is kept: many are soon hot again, and each run of them costs \
            a system call to drop */
#define CHUNK_WORDS 32u    /* of the dirty log, that are looked at together */
#define DROP_SET    16384u /* pages; 64 MiB: so many are given back to the machine at once */

int udfvm_hot_set_create(struct hot_set *set, const struct machine *machine,
                         struct udfvm_error *error)
{
    const uint64_t pages = (machine->memory_bytes + UDFVM_LOGGED_OUTPUT) / PAGE;
    set->words = pages / 64; /* slots are multiples of 1 MiB, so of 256 pages */
    set->capacity = 256;
    set->dirty = calloc(set->words, sizeof *set->dirty);
    set->bits = calloc(set->words, sizeof *set->bits);
    set->cold = calloc(set->words, sizeof *set->cold);
    set->pages = malloc(set->capacity * sizeof *set->pages);
    if (set->dirty && set->bits && set->cold && set->pages)
        return UDFVM_OK;
    udfvm_hot_set_destroy(set);
    return udfvm_fail_errno(error, "allocating the hot set");
}

void udfvm_hot_set_destroy(struct hot_set *set)
{
    free(set->dirty);
    free(set->bits);
    free(set->cold);
    free(set->pages);
    *set = (struct hot_set){ .dirty = NULL };
}

bool udfvm_hot_set_has(const struct hot_set *set, uint64_t number)
{
    return set->bits[number / 64] >> number % 64 & 1;
}

static const uint8_t *pristine(const struct guest_memory *memory, uint32_t number)
{
    return number < memory->machine->memory_bytes / PAGE ? udfvm_image_page(memory->image, number)
                                                         : NULL;
}

static int add_page(struct guest_memory *memory, uint32_t number, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    if (set->count == set->capacity) {
        struct hot_page *grown = realloc(set->pages, 2 * set->capacity * sizeof *grown);
        if (!grown)
            return udfvm_fail_errno(error, "growing the hot set");
        set->pages = grown;
        set->capacity *= 2;
    }
    set->pages[set->count++] = (struct hot_page){ .number = number,
                                                  .patience = SAMPLES_IDLE,
                                                  .pristine = pristine(memory, number) };
    set->bits[number / 64] |= 1ull << number % 64;
    set->cold_count -= set->cold[number / 64] >> number % 64 & 1;
    set->cold[number / 64] &= ~(1ull << number % 64);
    set->sorted = false;
    return UDFVM_OK;
}

void udfvm_hot_set_rebind(struct guest_memory *memory)
{
    for (size_t i = 0; i < memory->hot.count; i++)
        memory->hot.pages[i].pristine = pristine(memory, memory->hot.pages[i].number);
}

static int by_number(const void *left, const void *right)
{
    const uint32_t one = ((const struct hot_page *)left)->number,
                   other = ((const struct hot_page *)right)->number;
    return (one > other) - (one < other);
}

static bool is_unchanged(const struct guest_memory *memory, const struct hot_page *hot)
{
    const uint8_t *page = memory->machine->memory + hot->number * PAGE;
    return hot->pristine ? memcmp(page, hot->pristine, PAGE) == 0 : udfvm_page_is_zero(page);
}

/* A page that the guest wrote. */
static int add_written(struct guest_memory *memory, uint32_t number, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    const bool returned = set->cold[number / 64] >> number % 64 & 1;
    UDFVM_TRY(add_page(memory, number, error));
    struct hot_page *hot = &set->pages[set->count - 1];
    if (returned && is_unchanged(memory, hot))
        hot->patience = SAME_IDLE;
    return UDFVM_OK;
}

/* Whether a bit is set. `count` is a multiple of 8, as in all slots. */
static bool any_bit(const uint64_t *words, size_t count)
{
    __m128i any = _mm_setzero_si128();
    for (size_t i = 0; i < count; i += 2)
        any = _mm_or_si128(any, _mm_loadu_si128((const __m128i *)(words + i)));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) != 0xffff;
}

/* Most of the memory is as it was: so many words without a bit cost as little as can be. */
static int collect_chunk(struct guest_memory *memory, size_t first, size_t count,
                         struct udfvm_error *error)
{
    const struct hot_set *set = &memory->hot;
    if (!any_bit(set->dirty + first, count))
        return UDFVM_OK;
    for (size_t word = first; word < first + count; word++)
        for (uint64_t fresh = set->dirty[word] & ~set->bits[word]; fresh; fresh &= fresh - 1)
            UDFVM_TRY(add_written(memory, (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(fresh),
                                  error));
    return UDFVM_OK;
}

int udfvm_hot_set_collect(struct guest_memory *memory, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    UDFVM_TRY(
        udfvm_hypervisor_dirty_pages(memory->machine->hypervisor, SLOT_LOGGED, set->dirty, error));
    for (size_t first = 0; first < set->words; first += CHUNK_WORDS) {
        const size_t left = set->words - first;
        UDFVM_TRY(collect_chunk(memory, first, left < CHUNK_WORDS ? left : CHUNK_WORDS, error));
    }
    return UDFVM_OK;
}

int udfvm_hot_set_add(struct guest_memory *memory, uint64_t offset, uint64_t length)
{
    const uint64_t logged = memory->hot.words * 64 * PAGE;
    if (!memory->image || length == 0 || offset >= logged)
        return UDFVM_OK; /* never restored; the unlogged area is not logged */
    length = length < logged - offset ? length : logged - offset;
    for (uint64_t number = offset / PAGE; number <= (offset + length - 1) / PAGE; number++)
        if (!udfvm_hot_set_has(&memory->hot, number))
            UDFVM_TRY(add_page(memory, (uint32_t)number, NULL));
    return UDFVM_OK;
}

/* Gives the memory of a run of pages back, where the mapping then shows what they are to hold: what
 * a layer stores stays. */
static int drop_run(const struct guest_memory *memory, uint64_t first, uint64_t pages,
                    struct udfvm_error *error)
{
    const struct machine *machine = memory->machine;
    const uint64_t shared = STREAM_REPLY_OFFSET / PAGE, window = machine->memory_bytes / PAGE,
                   inside = first < window ? window - first : 0;
    if (inside && inside < pages) { /* the window may be another file */
        UDFVM_TRY(drop_run(memory, first, inside, error));
        return drop_run(memory, window, pages - inside, error);
    }
    if (pages && udfvm_machine_drop(machine, machine->memory + first * PAGE, pages * PAGE))
        return udfvm_fail_errno(error, "giving back memory of a micro-VM");
    if (machine->shared && first <= shared && shared < first + pages)
        udfvm_span_put_back(machine, shared, udfvm_image_page(memory->image, (uint32_t)shared), 1);
    return UDFVM_OK;
}

/* The same for all pages that are cold, and pristine therefore. What the image's layer stores was
 * perhaps put there since they cooled: it stays. */
static int drop_cold(struct guest_memory *memory, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    uint64_t first = 0, pages = 0;
    for (size_t word = 0; word < set->words && set->cold_count; word++)
        for (; set->cold[word]; set->cold[word] &= set->cold[word] - 1, set->cold_count--) {
            const uint64_t number = word * 64 + (uint64_t)__builtin_ctzll(set->cold[word]);
            if (!udfvm_image_is_of_base(memory->image, pristine(memory, (uint32_t)number)))
                continue;
            if (pages && number != first + pages) {
                UDFVM_TRY(drop_run(memory, first, pages, error));
                pages = 0;
            }
            first = pages ? first : number;
            pages++;
        }
    return drop_run(memory, first, pages, error);
}

/* Lets the pages go that have been idle for as long as their patience, or as a lesser one. They are
 * pristine now and the guest does not run. */
static int cool(struct guest_memory *memory, uint32_t patience, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    size_t kept = 0;
    memset(set->dirty, 0, set->words * sizeof *set->dirty);
    for (size_t i = 0; i < set->count; i++) {
        const uint32_t number = set->pages[i].number;
        if (set->pages[i].idle >= patience || set->pages[i].idle >= set->pages[i].patience)
            set->dirty[number / 64] |= 1ull << number % 64;
        else
            set->pages[kept++] = set->pages[i];
    }
    if (kept == set->count)
        return UDFVM_OK;
    set->count = kept;
    for (size_t word = 0; word < set->words; word++) {
        set->bits[word] &= ~set->dirty[word];
        set->cold[word] |= set->dirty[word];
        set->cold_count += (size_t)__builtin_popcountll(set->dirty[word]);
    }
    UDFVM_TRY(udfvm_hypervisor_clear_dirty(memory->machine->hypervisor, SLOT_LOGGED,
                                           set->words * 64, set->dirty, error));
    return set->cold_count > MAX_COLD ? drop_cold(memory, error) : UDFVM_OK;
}

/* Notes which hot pages the last call really wrote. */
static void sample_pages(struct guest_memory *memory)
{
    for (size_t i = 0; i < memory->hot.count; i++) {
        struct hot_page *hot = &memory->hot.pages[i];
        hot->idle = is_unchanged(memory, hot) ? hot->idle + 1 : 0;
    }
}

/* The number of pages from `first` on that are neighbours in memory and in the image. */
static size_t run_length(const struct hot_set *set, size_t first)
{
    const struct hot_page *pages = &set->pages[first];
    size_t length = 1;
    while (first + length < set->count && pages[length].number == pages[0].number + length &&
           (pages[0].pristine ? pages[length].pristine == pages[0].pristine + length * PAGE
                              : !pages[length].pristine))
        length++;
    return length;
}

static void sort(struct hot_set *set)
{
    if (!set->sorted)
        qsort(set->pages, set->count, sizeof *set->pages, by_number);
    set->sorted = true;
}

static void copy_back(struct guest_memory *memory)
{
    struct hot_set *set = &memory->hot;
    sort(set);
    for (size_t i = 0, length; i < set->count; i += length) {
        length = run_length(set, i);
        udfvm_span_put_back(memory->machine, set->pages[i].number, set->pages[i].pristine, length);
    }
    set->pages_copied += set->count;
}

_Static_assert(MAX_COLD < LARGE_SET, "what is dropped as a whole is not kept as cold");

/* The whole set goes: what was written is dropped rather than copied back, but for what a layer
 * stores. */
static int drop_set(struct guest_memory *memory, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    sort(set);
    for (size_t i = 0; i < set->count; i++) {
        struct hot_page *page = &set->pages[i];
        page->idle = SAMPLES_IDLE;
        if (!udfvm_image_is_of_base(memory->image, page->pristine))
            udfvm_span_put_back(memory->machine, page->number, page->pristine, 1);
    }
    UDFVM_TRY(cool(memory, SAMPLES_IDLE, error));
    struct hot_page *smaller = realloc(set->pages, LARGE_SET * sizeof *smaller);
    if (smaller) {
        set->pages = smaller;
        set->capacity = LARGE_SET;
    }
    return UDFVM_OK;
}

int udfvm_hot_set_shrink(struct guest_memory *memory, struct udfvm_error *error)
{
    if (memory->hot.count > LARGE_SET)
        UDFVM_TRY(drop_set(memory, error));
    return drop_cold(memory, error);
}

int udfvm_hot_set_restore(struct guest_memory *memory, struct udfvm_error *error)
{
    struct hot_set *set = &memory->hot;
    const bool large = set->count > LARGE_SET;
    set->restores++;
    set->put_back = set->count;
    memory->large = memory->large || large || memory->spans.input > HUGE_PAGE;
    if (set->count > DROP_SET)
        return drop_set(memory, error);
    const bool sample = large || set->restores % SAMPLE_EVERY == 0;
    if (sample)
        sample_pages(memory);
    copy_back(memory);
    return sample ? cool(memory, large ? 1 : UINT32_MAX, error) : UDFVM_OK;
}
