/* Mappings are placed bottom-up, the lowest fit first, so the newest one can grow in place. The
 * kernel's own pages are placed top-down. */
#include "mm/placement.h"
#include "mm/file_memory.h"
#include "mm/heap.h"
#include "mm/regions.h"
#include "mm/report.h"
#include "mm/reserve.h"
#include "mm/scratch.h"

#define SMALL_RESERVATION (1ull << 20)
#define BELOW_2_GIB       0x80000000ull

bool in_program_memory(uint64_t address, uint64_t length)
{
    return address >= program_start && address <= program_end && length <= program_end - address;
}

bool in_memory(uint64_t address, uint64_t length)
{
    return in_program_memory(address, length) || in_reserve(address, length) ||
           scratch_holds(address, length);
}

bool memory_over_limit(uint64_t length)
{
    struct memory_statistics statistics;
    if (region_at(region_count() - 1)->end <= program_end)
        return false;
    memory_statistics(&statistics);
    return statistics.used + length > statistics.total;
}

/* Thread-caching allocators reserve tens of MiB of address space and use little of it. In program
 * memory address space is memory, so a reservation may take at most a quarter of the largest gap.
 * Others lie in the reserve, and so do stacks of threads, and a single page, which is a guard that
 * nobody is to touch: only the reserve can refuse that. */
bool belongs_in_reserve(uint64_t length, int protection, int flags)
{
    if (protection != PROT_NONE || (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
        return false;
    if (length == PAGE_SIZE && !(flags & MAP_32BIT))
        return true;
    return (flags & MAP_STACK) || (length > SMALL_RESERVATION && length > largest_gap() / 4);
}

/* In program memory. */
uint64_t place_mapping(uint64_t hint, uint64_t length, int flags)
{
    const uint64_t high = flags & MAP_32BIT ? minimum(program_end, BELOW_2_GIB) : program_end;
    hint = page_down(hint);
    if (hint && in_program_memory(hint, length) && range_is_free(hint, hint + length) &&
        hint + length <= high)
        return hint;
    uint64_t address = gap_lowest(length, mappings_start(), high);
    return address ? address : gap_highest(length, program_start, minimum(mappings_start(), high));
}

uint64_t place_anonymous(uint64_t hint, uint64_t length, int protection, int flags)
{
    const uint64_t address = hint ? 0 : scratch_find(length, protection, flags);
    return address ? address : memory_over_limit(length) ? 0 : place_mapping(hint, length, flags);
}

static int64_t remove_all(uint64_t start, uint64_t end)
{
    const int64_t error = file_memory_make_way(start, end);
    if (error == 0)
        regions_remove(start, end);
    return error;
}

/* Removes the mappings at a fixed address, to make space for a new one. */
int64_t clear_fixed(uint64_t address, uint64_t length, int flags)
{
    if (address & PAGE_MASK)
        return -EINVAL;
    if (!in_memory(address, length) || range_has_kernel(address, address + length) ||
        (scratch_holds(address, length) && !scratch_open()))
        return -ENOMEM;
    const bool reserved = in_reserve(address, length);
    if (range_is_free(address, address + length))
        return !reserved && memory_over_limit(length) ? -ENOMEM : 0;
    if ((flags & MAP_FIXED_NOREPLACE) && range_has_mapping(address, address + length))
        return -EEXIST;
    if (reserved)
        reserve_release(address, address + length);
    return remove_all(address, address + length);
}
