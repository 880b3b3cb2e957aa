/* mremap(2). */
#include "mm/memory.h"
#include "host/data.h"
#include "mm/file_memory.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"
#include "mm/reserve.h"

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
    if ((target & PAGE_MASK) || !in_memory(target, new_length) || in_reserve(target, 1) ||
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
    return new_length > (in_reserve(address, 1) ? RESERVE_BYTES : program_end) ||
                   !regions_have_capacity(5)
               ? -ENOMEM
               : 0;
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

/* ---- In the reserve ---- */

/* Maps [start, end), as what ends at an address is mapped. */
static int64_t extend(uint64_t old_end, uint64_t start, uint64_t end)
{
    const struct region *like = region_at(region_find(old_end - 1));
    struct region more = { .start = start,
                           .end = end,
                           .use = REGION_PROGRAM,
                           .protection = like->protection,
                           .shared = like->shared,
                           .wiped = like->wiped };
    if (like->lent)
        return file_memory_lend_more(like, old_end, start, end);
    region_insert(more);
    const int64_t error = reserve_give(start, end, more.protection);
    if (error)
        memory_unmap(start, end - start);
    return error;
}

/* Makes [target, target + length) a mapping like that at `address`, in pieces, without frames. */
static int64_t imitate(uint64_t target, uint64_t address, uint64_t length)
{
    for (uint64_t done = 0, end; done < length; done = end - address) {
        struct region piece = *region_at(region_find(address + done));
        if (!regions_have_capacity(2))
            return -ENOMEM;
        end = minimum(piece.end, address + length);
        piece.offset += address + done - piece.start;
        piece.start = target + done;
        piece.end = target + (end - address);
        piece.frame = 0;
        piece.access = UDFVM_MAP_NOTHING;
        if (piece.name)
            piece.name->references++;
        region_insert(piece);
    }
    return 0;
}

/* Frames go along: nothing is copied. */
static int64_t move_reserved(uint64_t address, uint64_t old_length, uint64_t new_length,
                             uint64_t target)
{
    const uint64_t kept = minimum(old_length, new_length);
    int64_t error = imitate(target, address, kept);
    if (!error && new_length > old_length)
        error = extend(address + old_length, target + old_length, target + new_length);
    if (!error)
        error = reserve_move(target, address, kept);
    if (error)
        reserve_move(address, target, kept); /* what has moved by then */
    memory_unmap(error ? target : address, error ? new_length : old_length);
    return error ? error : (int64_t)target;
}

static int64_t remap_reserved_fixed(uint64_t address, uint64_t old_length, uint64_t new_length,
                                    uint64_t target)
{
    if ((target & PAGE_MASK) || !in_reserve(target, new_length) ||
        (target < address + old_length && address < target + new_length))
        return -EINVAL;
    const int64_t error = clear_fixed(target, new_length, 0);
    return error ? error : move_reserved(address, old_length, new_length, target);
}

static int64_t grow_reserved(uint64_t address, uint64_t old_length, uint64_t new_length,
                             bool may_move)
{
    const uint64_t old_end = address + old_length, new_end = address + new_length;
    if (in_reserve(address, new_length) && range_is_free(old_end, new_end)) {
        const int64_t error = extend(old_end, old_end, new_end);
        return error ? error : (int64_t)address;
    }
    const uint64_t target = may_move ? reserve_place(new_length) : 0;
    return target ? move_reserved(address, old_length, new_length, target) : -ENOMEM;
}

static int64_t remap_reserved(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                              uint64_t target)
{
    if (!range_is_mapped(address, address + old_length))
        return -EFAULT;
    if (flags & MREMAP_FIXED)
        return remap_reserved_fixed(address, old_length, new_length, target);
    if (new_length < old_length)
        memory_unmap(address + new_length, old_length - new_length);
    return new_length <= old_length
               ? (int64_t)address
               : grow_reserved(address, old_length, new_length, flags & MREMAP_MAYMOVE);
}

static int64_t remap_memory(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                            uint64_t new_address)
{
    const int64_t error = check_arguments(address, old_length, new_length, flags);
    if (error)
        return error;
    old_length = page_up(old_length);
    new_length = page_up(new_length);
    if (in_reserve(address, old_length))
        return remap_reserved(address, old_length, new_length, flags, new_address);
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

/* ---- Data ---- */

static bool is_data(uint64_t address, uint64_t length)
{
    return !(address & PAGE_MASK) && length && in_data(address, page_up(length));
}

/* It stays where it is, and ends where the file ends. */
static int64_t remap_data(uint64_t address, uint64_t new_length, int flags)
{
    if (!new_length)
        return -EINVAL;
    return !(flags & MREMAP_FIXED) && in_data(address, page_up(new_length)) ? (int64_t)address
                                                                            : -ENOMEM;
}

int64_t memory_remap(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                     uint64_t new_address)
{
    return is_data(address, old_length)
               ? remap_data(address, new_length, flags)
               : remap_memory(address, old_length, new_length, flags, new_address);
}
