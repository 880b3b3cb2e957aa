/* The map of program memory. A sorted array: searches are binary, changes move a few entries, and
 * neighbours of the same use are joined, so that it stays short. */
#include "mm/regions.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/pages.h"

#define MIN_REGIONS 1024u
#define MAX_REGIONS 65530u /* as Linux's vm.max_map_count */

uint64_t program_start, program_end;
static struct region *regions;
static size_t capacity;
static HOT_DATA size_t count;
static HOT_DATA uint64_t used; /* bytes of accessible regions outside of the reserve */

void regions_init(uint64_t start, uint64_t top, uint64_t end)
{
    const uint64_t pages = (end - start) / PAGE_SIZE;
    capacity = minimum(maximum(pages / 8, MIN_REGIONS), MAX_REGIONS);
    const uint64_t bitmap = page_down(top - (pages + 7) / 8 - 8);
    regions = (struct region *)page_down(bitmap - capacity * sizeof *regions);
    program_start = start;
    program_end = end;
    pages_init((uint64_t *)bitmap, start);
    region_insert((struct region){ .start = (uint64_t)regions,
                                   .end = top,
                                   .use = REGION_KERNEL,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_mark_used((uint64_t)regions, top);
}

/* ---- Memory in use, as memory_statistics() counts it, and the most that ever was ---- */

static uint64_t *peak(void)
{
    return (uint64_t *)UDFVM_PEAK_MEMORY;
}

static uint64_t used_within(uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;
    for (size_t index = region_find(start); index < count && regions[index].start < end; index++) {
        const struct region *region = &regions[index];
        const bool reserved = region->start - UDFVM_RESERVE_BASE <
                              UDFVM_RESERVE_END - UDFVM_RESERVE_BASE;
        if (region->protection != PROT_NONE && !reserved)
            bytes += minimum(region->end, end) - maximum(region->start, start);
    }
    return bytes;
}

/* What a range has in use was so much before. */
static void note_change(uint64_t start, uint64_t end, uint64_t before)
{
    used += used_within(start, end) - before;
    if (program_start + used > *peak())
        *peak() = program_start + used;
}

void regions_begin_peak(void)
{
    *peak() = program_start + used;
}

/* ---- Reading and changing the map ---- */

size_t region_count(void)
{
    return count;
}

struct region *region_at(size_t index)
{
    return &regions[index];
}

size_t region_find(uint64_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (regions[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool regions_have_capacity(size_t more)
{
    return count + more <= capacity;
}

struct region_name *region_name_create(const char *path)
{
    const size_t length = strlen(path) + 1;
    struct region_name *name = kernel_alloc(sizeof *name + length);
    if (name) {
        name->references = 1;
        memcpy(name->path, path, length);
    }
    return name;
}

void region_name_release(struct region_name *name)
{
    if (name && --name->references == 0)
        kernel_free(name);
}

static void open_slot(size_t index)
{
    memmove(&regions[index + 1], &regions[index], (count - index) * sizeof *regions);
    count++;
}

static void close_slots(size_t index, size_t number)
{
    memmove(&regions[index], &regions[index + number], (count - index - number) * sizeof *regions);
    count -= number;
}

static bool follows(const struct region *low, const struct region *high)
{
    const uint64_t length = low->end - low->start;
    return low->end == high->start && (!low->name || low->offset + length == high->offset) &&
           (low->frame ? low->frame + length : 0) == high->frame;
}

static bool joinable(const struct region *low, const struct region *high)
{
    return low->name == high->name && low->protection == high->protection &&
           low->use == high->use && low->shared == high->shared &&
           low->may_write == high->may_write && low->pristine == high->pristine &&
           low->wiped == high->wiped && low->lazy == high->lazy && low->lent == high->lent &&
           low->access == high->access && follows(low, high);
}

/* Joins regions[index] to its lower neighbour where they are alike. */
static bool join_down(size_t index)
{
    if (index == 0 || index >= count || !joinable(&regions[index - 1], &regions[index]))
        return false;
    regions[index - 1].end = regions[index].end;
    region_name_release(regions[index].name);
    close_slots(index, 1);
    return true;
}

static void insert(struct region region)
{
    size_t index = region_find(region.start);
    if (index > 0 && joinable(&regions[index - 1], &region)) {
        regions[index - 1].end = region.end; /* the common case needs no slot of its own */
        region_name_release(region.name);
        join_down(index);
        return;
    }
    open_slot(index);
    regions[index] = region;
    join_down(index + 1);
}

void region_insert(struct region region)
{
    insert(region);
    note_change(region.start, region.end, 0);
}

/* Makes a region begin at `address`, if one contains it. */
static void split(uint64_t address)
{
    size_t index = region_find(address);
    if (index == count || regions[index].start >= address)
        return;
    open_slot(index);
    struct region *low = &regions[index], *high = &regions[index + 1];
    if (high->frame)
        high->frame += address - low->start;
    low->end = address;
    high->start = address;
    if (high->name) {
        high->offset += address - low->start;
        high->name->references++;
    }
}

void regions_remove(uint64_t start, uint64_t end)
{
    const uint64_t before = used_within(start, end);
    size_t first = region_find(start);
    if (first < count && regions[first].start < start && regions[first].end <= end)
        regions[first].end = start; /* only the tail of a region goes: no slot is needed */
    split(start);
    split(end);
    first = region_find(start);
    size_t after = first;
    for (; after < count && regions[after].start < end; after++)
        region_name_release(regions[after].name);
    close_slots(first, after - first);
    note_change(start, end, before);
}

void regions_protect(uint64_t start, uint64_t end, int protection)
{
    const uint64_t before = used_within(start, end);
    split(start);
    split(end);
    size_t index = region_find(start);
    for (; index < count && regions[index].start < end; index++) {
        regions[index].protection = (uint8_t)protection;
        if (protection & PROT_WRITE)
            regions[index].pristine = false;
        if (join_down(index))
            index--;
    }
    join_down(index);
    note_change(start, end, before);
}

void regions_spoil(uint64_t start, uint64_t end)
{
    split(start);
    split(end);
    for (size_t index = region_find(start); index < count && regions[index].start < end; index++)
        regions[index].pristine = false;
}

void regions_wipe(uint64_t start, uint64_t end, bool wiped)
{
    split(start);
    split(end);
    for (size_t index = region_find(start); index < count && regions[index].start < end; index++)
        regions[index].wiped = wiped;
}

void regions_map_file(uint64_t start, uint64_t end, int protection, bool may_write)
{
    const uint64_t before = used_within(start, end);
    split(start);
    split(end);
    size_t index = region_find(start);
    for (; index < count && regions[index].start < end; index++) {
        struct region *region = &regions[index];
        const bool mapped = region->use == REGION_PROGRAM;
        region->protection = (uint8_t)(protection | (mapped ? region->protection : 0));
        region->may_write = may_write || (mapped && region->may_write);
        region->use = REGION_PROGRAM;
        region->shared = true;
        if (join_down(index))
            index--;
    }
    join_down(index);
    note_change(start, end, before);
}

void regions_unmap_file(uint64_t start, uint64_t end)
{
    const uint64_t before = used_within(start, end);
    split(start);
    split(end);
    size_t index = region_find(start);
    for (; index < count && regions[index].start < end; index++) {
        regions[index].protection = PROT_READ | PROT_WRITE;
        regions[index].may_write = regions[index].shared = false;
        regions[index].use = REGION_FILE;
        if (join_down(index))
            index--;
    }
    join_down(index);
    note_change(start, end, before);
}

void regions_set_frames(uint64_t start, uint64_t end, uint64_t frame, uint8_t access)
{
    split(start);
    split(end);
    const size_t index = region_find(start);
    regions[index].frame = frame;
    regions[index].access = access;
    join_down(index + 1);
    join_down(index);
}

bool range_is_free(uint64_t start, uint64_t end)
{
    size_t index = region_find(start);
    return index == count || regions[index].start >= end;
}

bool range_is_mapped(uint64_t start, uint64_t end)
{
    size_t index = region_find(start);
    for (; start < end && index < count && regions[index].start <= start &&
           regions[index].use != REGION_FILE;
         index++)
        start = regions[index].end;
    return start >= end;
}

bool range_has_kernel(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < count && regions[index].start < end; index++)
        if (regions[index].use == REGION_KERNEL)
            return true;
    return false;
}

bool range_has_mapping(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < count && regions[index].start < end; index++)
        if (regions[index].use != REGION_FILE)
            return true;
    return false;
}

uint64_t gap_lowest(uint64_t length, uint64_t low, uint64_t high)
{
    uint64_t start = low;
    for (size_t index = region_find(low); index < count && start < high; index++) {
        uint64_t end = minimum(regions[index].start, high);
        if (end > start && end - start >= length)
            return start;
        start = maximum(start, regions[index].end);
    }
    return start < high && high - start >= length ? start : 0;
}

uint64_t gap_highest(uint64_t length, uint64_t low, uint64_t high)
{
    uint64_t end = high;
    for (size_t index = count; index > 0 && end > low; index--) {
        uint64_t start = maximum(regions[index - 1].end, low);
        if (start < end && end - start >= length)
            return end - length;
        end = minimum(end, regions[index - 1].start);
    }
    return end > low && end - low >= length ? end - length : 0;
}

uint64_t largest_gap(void)
{
    uint64_t largest = 0, gap_start = program_start;
    for (size_t index = 0; index < count; index++) {
        if (regions[index].start >= program_end)
            break; /* in the reserve, or in scratch */
        largest = maximum(largest, regions[index].start - gap_start);
        gap_start = regions[index].end;
    }
    return maximum(largest, program_end - gap_start);
}
