/* Shared mappings of files in memory. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/file_memory.h"
#include "mm/memory.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"

#define ROOM 64u /* pages at most that a file gets besides its own, to grow in place */

struct file_memory *region_file(const struct region *region)
{
    return region->name ? region->name->memory : NULL;
}

/* ---- Where pages go ---- */

static bool lies_at(const struct file_page *page, uint64_t address)
{
    return page->placed && (uint64_t)page->number * PAGE_SIZE == address;
}

/* Finds where a range must lie, because pages of it are mapped: 0 if it may lie anywhere. Returns
 * false if these pages do not lie as in the file. */
static bool find_anchor(const struct file_memory *memory, size_t first, size_t count,
                        uint64_t *address)
{
    *address = 0;
    for (size_t i = 0; i < count; i++) {
        const struct file_page *page = &memory->pages[first + i];
        const uint64_t start = (page->number - i) * PAGE_SIZE;
        if (page->mappings && *address && *address != start)
            return false;
        if (page->mappings)
            *address = start;
    }
    return true;
}

/* Returns true if each page of a range lies where it should, or can move there. */
static bool fits(const struct file_memory *memory, size_t first, size_t count, uint64_t address)
{
    if (!in_memory(address, count * PAGE_SIZE))
        return false;
    for (size_t i = 0; i < count; i++, address += PAGE_SIZE)
        if (!lies_at(&memory->pages[first + i], address) &&
            !range_is_free(address, address + PAGE_SIZE))
            return false;
    return true;
}

/* Brings pages to a free range. */
static bool move_pages(struct file_memory *memory, size_t first, size_t count, uint64_t address)
{
    if (!regions_have_capacity(3))
        return false;
    memory->name->references++;
    region_insert((struct region){ .start = address,
                                   .end = address + count * PAGE_SIZE,
                                   .offset = first * PAGE_SIZE,
                                   .name = memory->name,
                                   .use = REGION_FILE,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(address, address + count * PAGE_SIZE, true);
    for (size_t i = first; i < first + count; i++, address += PAGE_SIZE) {
        struct file_page *page = &memory->pages[i];
        if (page->number) {
            memcpy((void *)address, page_address(page), PAGE_SIZE);
            page_free(page_address(page), 1);
        }
        *page = (struct file_page){ .number = (uint32_t)(address / PAGE_SIZE), .placed = true };
    }
    return true;
}

/* Brings those pages of a range that do not lie where they should to their places, which fit. */
static bool settle(struct file_memory *memory, size_t first, size_t count, uint64_t address)
{
    for (size_t i = 0, run; i < count; i = run) {
        for (run = i; run < count; run++)
            if (lies_at(&memory->pages[first + run], address + run * PAGE_SIZE))
                break;
        if (run > i && !move_pages(memory, first + i, run - i, address + i * PAGE_SIZE))
            return false;
        run += run == i;
    }
    return true;
}

/* Returns where a range would lie beside a placed page of the file; 0 if there is none. */
static uint64_t beside_placed(const struct file_memory *memory, size_t first)
{
    for (size_t turn = 0; turn < memory->slots; turn++) {
        const size_t i = (first + turn) % memory->slots; /* those of the range come first */
        const struct file_page *page = &memory->pages[i];
        if (page->placed && page->number + first > i)
            return (page->number + first - i) * PAGE_SIZE;
    }
    return 0;
}

static uint64_t find_space(size_t count, bool to_lend)
{
    if (to_lend)
        return memory_over_limit(count * PAGE_SIZE)
                   ? 0
                   : place_mapping(0, count * PAGE_SIZE, MAP_PRIVATE | MAP_ANONYMOUS);
    return place_anonymous(0, count * PAGE_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS);
}

/* Places the whole file, with room to grow, so that later mappings of other parts fit too. Returns
 * the address of page `first`, or 0. */
static uint64_t place_file(struct file_memory *memory, size_t first, size_t count, bool to_lend)
{
    size_t whole = memory->slots;
    while (whole > first + count && !memory->pages[whole - 1].number)
        whole--;
    whole += minimum(whole, ROOM);
    const uint64_t address = file_memory_reserve(memory, whole) ? 0 : find_space(whole, to_lend);
    return address && settle(memory, 0, whole, address) ? address + first * PAGE_SIZE : 0;
}

static bool may_lie_at(uint64_t address, size_t count, bool to_lend)
{
    return !to_lend || in_program_memory(address, count * PAGE_SIZE);
}

/* Brings pages of which none is mapped next to each other. Returns their address, or 0. */
static uint64_t place_pages(struct file_memory *memory, size_t first, size_t count, bool to_lend)
{
    uint64_t address = beside_placed(memory, first);
    if (address && may_lie_at(address, count, to_lend) && fits(memory, first, count, address))
        return settle(memory, first, count, address) ? address : 0;
    address = memory->mapped ? 0 : place_file(memory, first, count, to_lend);
    if (address)
        return address;
    address = find_space(count, to_lend);
    return address && settle(memory, first, count, address) ? address : 0;
}

/* ---- Mapping ---- */

static int64_t prepare(struct file_memory *memory, const struct file_mapping *wanted)
{
    if (file_memory_reserve(memory, wanted->first + wanted->count) || !regions_have_capacity(4))
        return -ENOMEM;
    if (memory->name)
        return 0;
    memory->name = region_name_create(wanted->path);
    if (!memory->name)
        return -ENOMEM;
    memory->name->memory = memory;
    return 0;
}

/* Brings the pages of a mapping to a place that it cannot choose. */
static int64_t place_at(struct file_memory *memory, const struct file_mapping *wanted,
                        uint64_t address)
{
    return may_lie_at(address, wanted->count, wanted->to_lend) &&
                   fits(memory, wanted->first, wanted->count, address) &&
                   settle(memory, wanted->first, wanted->count, address)
               ? (int64_t)address
               : -ENOMEM;
}

/* Brings the pages to where the mapping is to be, and returns the address. */
static int64_t place(struct file_memory *memory, const struct file_mapping *wanted)
{
    uint64_t address;
    const bool together = find_anchor(memory, wanted->first, wanted->count, &address);
    if (wanted->address && (!together || (address && address != wanted->address)))
        return -EINVAL;
    if (!together)
        return -ENOMEM;
    if (wanted->address || address)
        return place_at(memory, wanted, wanted->address ? wanted->address : address);
    address = place_pages(memory, wanted->first, wanted->count, wanted->to_lend);
    return address ? (int64_t)address : -ENOMEM;
}

int64_t file_memory_map(struct file_memory *memory, const struct file_mapping *wanted)
{
    const int64_t error = prepare(memory, wanted);
    const int64_t address = error ? error : place(memory, wanted);
    if (address < 0)
        return address;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    regions_map_file((uint64_t)address, (uint64_t)address + wanted->count * PAGE_SIZE,
                     wanted->protection, wanted->may_write);
    for (size_t i = wanted->first; i < wanted->first + wanted->count; i++)
        memory->pages[i].mappings++;
    memory->mapped += wanted->count;
    return address;
}

/* ---- Unmapping ---- */

/* Calls a function for each piece of the range that is a file's own memory, with the region that
 * holds it, until that returns an error. */
typedef int64_t piece_function(const struct region *region, uint64_t start, uint64_t end);
static int64_t for_each_piece(uint64_t start, uint64_t end, enum region_use use,
                              piece_function *function)
{
    int64_t error = 0;
    while (start < end && !error) {
        const size_t index = region_find(start);
        if (index == region_count() || region_at(index)->start >= end)
            break;
        const struct region region = *region_at(index); /* the function changes the table */
        const uint64_t piece_end = minimum(end, region.end);
        if (region.use == use && region_file(&region))
            error = function(&region, maximum(start, region.start), piece_end);
        start = piece_end;
    }
    return error;
}

static struct file_page *page_at(const struct region *region, uint64_t address)
{
    return &region_file(region)->pages[(region->offset + address - region->start) / PAGE_SIZE];
}

static int64_t release_piece(const struct region *region, uint64_t start, uint64_t end)
{
    struct file_memory *memory = region_file(region);
    for (uint64_t at = start, run; at < end; at = run) {
        if (!regions_have_capacity(2))
            return -ENOMEM;
        for (run = at; run < end && page_at(region, run)->mappings == 1; run += PAGE_SIZE)
            page_at(region, run)->mappings = 0;
        memory->mapped -= (run - at) / PAGE_SIZE;
        if (run > at)
            regions_unmap_file(at, run);
        for (; run < end && page_at(region, run)->mappings > 1; run += PAGE_SIZE) {
            page_at(region, run)->mappings--;
            memory->mapped--;
        }
    }
    if (!memory->mapped)
        memory->idle(memory);
    return 0;
}

int64_t file_memory_unmap(uint64_t start, uint64_t end)
{
    return for_each_piece(start, end, REGION_PROGRAM, release_piece);
}

static int64_t check_piece(const struct region *region, uint64_t start, uint64_t end)
{
    for (; start < end; start += PAGE_SIZE)
        if (page_at(region, start)->mappings > 1)
            return -EINVAL;
    return 0;
}

static int64_t move_piece_away(const struct region *region, uint64_t start, uint64_t end)
{
    for (; start < end; start += PAGE_SIZE) {
        struct file_page *page = page_at(region, start);
        if (!lies_at(page, start))
            continue; /* an earlier attempt has moved it */
        void *copy = page_alloc(1);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, (const void *)start, PAGE_SIZE);
        *page = (struct file_page){ .number = (uint32_t)((uint64_t)copy / PAGE_SIZE) };
    }
    return 0;
}

int64_t file_memory_make_way(uint64_t start, uint64_t end)
{
    int64_t error = for_each_piece(start, end, REGION_PROGRAM, check_piece);
    if (error == 0)
        error = file_memory_unmap(start, end);
    return error ? error : for_each_piece(start, end, REGION_FILE, move_piece_away);
}

/* ---- mremap ---- */

static int64_t move_mapping(struct file_memory *memory, struct file_mapping wanted, uint64_t start,
                            uint64_t old_length)
{
    const struct region region = *region_at(region_find(start));
    int64_t result = check_piece(&region, start, start + old_length);
    if (result)
        return -ENOMEM; /* another mapping needs the pages where they are */
    memory->mapped++;   /* it must not become idle meanwhile */
    result = file_memory_unmap(start, start + old_length);
    if (result == 0)
        result = file_memory_map(memory, &wanted);
    if (result < 0) {
        wanted.address = start;
        wanted.count = old_length / PAGE_SIZE;
        file_memory_map(memory, &wanted);
    }
    if (--memory->mapped == 0)
        memory->idle(memory);
    return result;
}

int64_t file_memory_remap(uint64_t start, uint64_t old_length, uint64_t new_length, bool may_move,
                          uint64_t address)
{
    const struct region *region = region_at(region_find(start));
    struct file_memory *memory = region_file(region);
    struct file_mapping wanted = { .first = (region->offset + start - region->start) / PAGE_SIZE,
                                   .count = new_length / PAGE_SIZE,
                                   .address = address,
                                   .protection = region->protection,
                                   .may_write = region->may_write,
                                   .path = region->name->path };
    if (address)
        return move_mapping(memory, wanted, start, old_length);
    if (new_length <= old_length) {
        const int64_t error = file_memory_unmap(start + new_length, start + old_length);
        return error ? error : (int64_t)start;
    }
    struct file_mapping more = wanted;
    more.first += old_length / PAGE_SIZE;
    more.count = (new_length - old_length) / PAGE_SIZE;
    more.address = start + old_length;
    const int64_t grown = file_memory_map(memory, &more);
    if (grown > 0)
        return (int64_t)start;
    return may_move ? move_mapping(memory, wanted, start, old_length) : -ENOMEM;
}
