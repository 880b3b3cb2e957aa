/* mremap(2). */
#include "mm/memory.h"
#include "mm/file_memory.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"

static bool grow_in_place(const struct region *region, uint64_t old_end, uint64_t new_end)
{
    struct region more = *region;
    if (old_end != region->end || !in_memory(old_end, new_end - old_end) ||
        !range_is_free(old_end, new_end) || region->use != REGION_PROGRAM ||
        memory_over_limit(new_end - old_end))
        return false;
    more.start = old_end;
    more.end = new_end;
    more.offset += old_end - region->start;
    if (more.name)
        more.name->references++;
    region_insert(more);
    pages_hand_out(old_end, new_end, more.protection != PROT_NONE);
    return true;
}

static int64_t move(const struct region *region, uint64_t address, uint64_t old_length,
                    uint64_t new_length, uint64_t fixed)
{
    struct region moved = *region;
    moved.start = fixed ? fixed
                        : place_anonymous(0, new_length, moved.protection,
                                          MAP_PRIVATE | MAP_ANONYMOUS);
    if (!moved.start)
        return -ENOMEM;
    moved.end = moved.start + new_length;
    moved.offset += address - region->start;
    moved.use = REGION_PROGRAM;
    moved.pristine = false;
    if (moved.name)
        moved.name->references++;
    region_insert(moved);
    pages_hand_out(moved.start, moved.end, moved.protection != PROT_NONE);
    pages_copy(moved.start, address, minimum(old_length, new_length));
    if (moved.protection ==
        PROT_NONE) /* what was written before the protection changed moves too */
        pages_mark_used(moved.start, moved.end);
    regions_remove(address, address + old_length);
    return (int64_t)moved.start;
}

static int64_t remap_fixed(uint64_t address, uint64_t old_length, uint64_t new_length,
                           uint64_t target)
{
    if ((target & PAGE_MASK) || !in_memory(target, new_length) ||
        (target < address + old_length && address < target + new_length))
        return -EINVAL;
    const int64_t error = clear_fixed(target, new_length, 0);
    if (error)
        return error;
    const struct region *region = region_at(region_find(address));
    return region_file(region) ? file_memory_remap(address, old_length, new_length, true, target)
                               : move(region, address, old_length, new_length, target);
}

static int64_t check_arguments(uint64_t address, uint64_t old_length, uint64_t new_length,
                               int flags)
{
    if ((address & PAGE_MASK) || old_length == 0 || new_length == 0)
        return -EINVAL;
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) ||
        ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (!in_memory(address, old_length))
        return -EFAULT;
    return new_length > program_end || !regions_have_capacity(5) ? -ENOMEM : 0;
}

/* The program's region that holds all of the range; NULL where there is none. */
static const struct region *region_of(uint64_t address, uint64_t length)
{
    const size_t index = region_find(address);
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    return region && region->start <= address && region->end >= address + length &&
                   region->use != REGION_KERNEL && region->use != REGION_FILE
               ? region
               : NULL;
}

int64_t memory_remap(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                     uint64_t new_address)
{
    const int64_t error = check_arguments(address, old_length, new_length, flags);
    if (error)
        return error;
    old_length = page_up(old_length);
    new_length = page_up(new_length);
    const struct region *region = region_of(address, old_length);
    if (!region)
        return -EFAULT;
    if (flags & MREMAP_FIXED)
        return remap_fixed(address, old_length, new_length, new_address);
    if (region_file(region))
        return file_memory_remap(address, old_length, new_length, flags & MREMAP_MAYMOVE, 0);
    if (new_length < old_length)
        regions_remove(address + new_length, address + old_length);
    if (new_length <= old_length ||
        grow_in_place(region, address + old_length, address + new_length))
        return (int64_t)address;
    return flags & MREMAP_MAYMOVE ? move(region, address, old_length, new_length, 0) : -ENOMEM;
}
