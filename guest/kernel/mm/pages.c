/* One bit per page of program memory and of scratch. A clear bit means that the page holds zeros.
 * Pages are zeroed when they are handed out again. So unused pages are never touched, and a sealed
 * image is only as large as what the program used. */
#include "mm/pages.h"
#include "lib/string.h"
#include "mm/reserve.h"

struct map {
    uint64_t *used;
    uint64_t first_page; /* page number of bit 0 */
};
static uint64_t scratch_used[UDFVM_MAX_WINDOW / PAGE_SIZE / 64];
static struct map program_map, scratch_map = { scratch_used, UDFVM_OUTPUT_BASE / PAGE_SIZE };

void pages_init(uint64_t *bitmap, uint64_t start)
{
    program_map = (struct map){ bitmap, start / PAGE_SIZE };
}

static struct map *map_of(uint64_t address)
{
    return address >= UDFVM_OUTPUT_BASE ? &scratch_map : &program_map;
}

/* Bits of word `word` that stand for pages in [first, last). */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t last)
{
    uint64_t mask = ~0ull;
    if (word == first / 64)
        mask &= ~0ull << first % 64;
    if (word == last / 64)
        mask &= (1ull << last % 64) - 1;
    return mask;
}

bool page_is_used(uint64_t address)
{
    if (in_reserve(address, 1))
        return reserve_page_is_used(address);
    const struct map *map = map_of(address);
    const uint64_t page = address / PAGE_SIZE - map->first_page;
    return map->used[page / 64] >> page % 64 & 1;
}

void pages_mark_used(uint64_t start, uint64_t end)
{
    if (in_reserve(start, 1))
        return; /* its frames are */
    struct map *map = map_of(start);
    const uint64_t first = start / PAGE_SIZE - map->first_page,
                   last = end / PAGE_SIZE - map->first_page;
    for (uint64_t word = first / 64; word * 64 < last; word++) {
        uint64_t mask = word_mask(word, first, last);
        if ((map->used[word] & mask) !=
            mask) /* written only if it changes: writing dirties the page of the bitmap */
            map->used[word] |= mask;
    }
}

static bool is_zero(const uint64_t *page)
{
    for (size_t i = 0; i < PAGE_SIZE / sizeof *page; i += 8)
        if (page[i] | page[i + 1] | page[i + 2] | page[i + 3] | page[i + 4] | page[i + 5] |
            page[i + 6] | page[i + 7])
            return false;
    return true;
}

/* Zeroes the pages of one word whose bits are in `mask`. It reads a page first: many pages that are
 * handed out are never written (mostly stacks), and a page that is not written need not be
 * restored. */
static void zero_pages(const struct map *map, uint64_t word, uint64_t mask)
{
    for (; mask; mask &= mask - 1) {
        uint64_t *page = (uint64_t *)((map->first_page + word * 64 +
                                       (unsigned)__builtin_ctzll(mask)) *
                                      PAGE_SIZE);
        if (!is_zero(page))
            memset(page, 0, PAGE_SIZE);
    }
}

void pages_zero(uint64_t start, uint64_t end)
{
    if (in_reserve(start, 1)) {
        reserve_zero(start, end);
        return;
    }
    const struct map *map = map_of(start);
    const uint64_t first = start / PAGE_SIZE - map->first_page,
                   last = end / PAGE_SIZE - map->first_page;
    for (uint64_t word = first / 64; word * 64 < last; word++)
        zero_pages(map, word, map->used[word] & word_mask(word, first, last));
}

void pages_hand_out(uint64_t start, uint64_t end, bool accessible)
{
    pages_zero(start, end);
    if (in_reserve(start, 1))
        return;
    if (accessible) {
        pages_mark_used(start, end);
        return;
    }
    struct map *map = map_of(start);
    const uint64_t first = start / PAGE_SIZE - map->first_page,
                   last = end / PAGE_SIZE - map->first_page;
    for (uint64_t word = first / 64; word * 64 < last; word++) {
        uint64_t mask = word_mask(word, first, last);
        if (map->used[word] & mask)
            map->used[word] &= ~mask;
    }
}

void pages_copy(uint64_t to, uint64_t from, uint64_t length)
{
    for (uint64_t done = 0; done < length;) {
        uint64_t run = done;
        while (run < length && page_is_used(from + run))
            run += PAGE_SIZE;
        if (run > done)
            memcpy((void *)(to + done), (const void *)(from + done), minimum(run, length) - done);
        done = run;
        while (done < length && !page_is_used(from + done))
            done += PAGE_SIZE;
    }
}
