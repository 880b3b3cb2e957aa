/* Mappings. In program memory virtual and physical memory are the same, so a mapping takes memory
 * when it is made, even with PROT_NONE; and protections are only recorded: the page tables belong
 * to the host and map everything alike. In the reserve (reserve.c) neither is so. */
#include "mm/memory.h"
#include "host/data.h"
#include "lib/string.h"
#include "mm/file_memory.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"
#include "mm/reserve.h"

/* Bytes of a mapping that may be put together from free pages wherever they are. */
#define MIN_SCATTERED (1ull << 20)

static uint64_t stack_start;

void memory_init(uint64_t memory_end)
{
    stack_start = memory_end - udfvm_stack_bytes(memory_end);
    regions_init(UDFVM_PROGRAM_BASE, stack_start - UDFVM_STACK_GUARD, memory_end);
    region_insert((struct region){
        .start = stack_start - UDFVM_STACK_GUARD, .end = stack_start, .use = REGION_KERNEL });
    region_insert((struct region){ .start = stack_start,
                                   .end = memory_end,
                                   .use = REGION_STACK,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(stack_start, memory_end, true);
}

static struct region_name *name_of(const struct backing *backing)
{
    const char *path = backing->path;
    for (size_t index = region_count(); index > 0; index--) {
        struct region_name *name = region_at(index - 1)->name;
        if (name && !name->memory && strcmp(name->path, path) == 0) {
            name->references++;
            return name;
        }
    }
    return region_name_create(path);
}

/* Returns true if the file's contents are there already: a loader maps a library as a whole, then
 * its segments over that. */
static bool already_holds(const struct region *wanted, const struct backing *backing)
{
    if (!backing->constant)
        return false;
    uint64_t address = wanted->start;
    for (size_t index = region_find(address); address < wanted->end; index++) {
        if (index == region_count())
            return false;
        const struct region *have = region_at(index);
        if (have->start > address || !have->pristine || have->name != wanted->name ||
            have->offset - have->start != wanted->offset - wanted->start)
            return false;
        address = have->end;
    }
    return true;
}

static int64_t fill_from_file(uint64_t start, uint64_t end, const struct backing *backing,
                              uint64_t offset)
{
    int64_t got = backing->read(backing->file, offset, (void *)start, end - start);
    if (got < 0)
        return got;
    const uint64_t data_end = start + (uint64_t)got, whole = page_up(data_end);
    pages_mark_used(start, whole);
    memset((void *)data_end, 0, whole - data_end);
    pages_hand_out(whole, end, true);
    return 0;
}

/* A new mapping of the reserve becomes accessible, or goes; its address or negative errno. */
static int64_t give(uint64_t address, uint64_t length, int protection)
{
    const int64_t error = in_reserve(address, length)
                              ? reserve_give(address, address + length, protection)
                              : 0;
    if (error) {
        reserve_release(address, address + length);
        regions_remove(address, address + length);
    }
    return error ? error : (int64_t)address;
}

static int64_t map_anonymous(uint64_t address, uint64_t length, int protection, int flags)
{
    const bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (fixed) {
        int64_t error = clear_fixed(address, length, flags);
        if (error)
            return error;
    } else {
        address = belongs_in_reserve(length, protection, flags)
                      ? reserve_place(length)
                      : place_anonymous(address, length, protection, flags);
        if (!address && length >= MIN_SCATTERED)
            address = reserve_place(length);
        if (!address)
            return -ENOMEM;
    }
    region_insert(
        (struct region){ .start = address,
                         .end = address + length,
                         .protection = (uint8_t)protection,
                         .shared = (flags & MAP_TYPE) != MAP_PRIVATE,
                         .lazy = !fixed && (flags & MAP_STACK) && in_reserve(address, length) });
    pages_hand_out(address, address + length, protection != PROT_NONE);
    return give(address, length, protection);
}

static int64_t map_file(uint64_t address, uint64_t length, int protection, int flags,
                        const struct backing *backing, uint64_t offset)
{
    struct region region = { .name = name_of(backing),
                             .offset = offset,
                             .protection = (uint8_t)protection,
                             .pristine = !(protection & PROT_WRITE),
                             .shared = (flags & MAP_TYPE) != MAP_PRIVATE,
                             .may_write = backing->writable };
    if (!region.name || !regions_have_capacity(3)) {
        region_name_release(region.name);
        return -ENOMEM;
    }
    int64_t error = 0;
    bool held = false;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        region.start = address;
        region.end = address + length;
        held = !(flags & MAP_FIXED_NOREPLACE) && in_program_memory(address, length) &&
               already_holds(&region, backing);
        error = clear_fixed(address, length, flags);
    } else {
        region.start = memory_over_limit(length) ? 0 : place_mapping(address, length, flags);
        region.end = region.start + length;
        error = region.start ? 0 : -ENOMEM;
    }
    if (error) {
        region_name_release(region.name);
        return error;
    }
    region_insert(region);
    error = give(region.start, length, PROT_READ | PROT_WRITE);
    if (error < 0)
        return error;
    error = held ? 0 : fill_from_file(region.start, region.end, backing, offset);
    if (error) {
        memory_unmap(region.start, length);
        return error;
    }
    return give(region.start, length, protection);
}

/* A mapping that sees what is written to the file, and the other way round. */
static int64_t map_shared(uint64_t address, uint64_t length, int protection, int flags,
                          const struct backing *backing, uint64_t offset)
{
    const bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    const struct file_mapping wanted = { .first = offset / PAGE_SIZE,
                                         .count = length / PAGE_SIZE,
                                         .address = fixed ? address : 0,
                                         .protection = protection,
                                         .may_write = backing->writable,
                                         .path = backing->path };
    const int64_t error = fixed ? clear_fixed(address, length, flags) : 0;
    if (error)
        return error;
    return fixed && in_reserve(address, length)
               ? file_memory_lend(backing->memory, wanted, name_of(backing))
               : file_memory_map(backing->memory, &wanted);
}

static int64_t check_map(uint64_t length, uint64_t longest, int flags, uint64_t offset)
{
    const int type = flags & MAP_TYPE;
    if (length == 0 || (offset & PAGE_MASK) ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    return length > longest || !regions_have_capacity(3) || (flags & MAP_HUGETLB) ||
                   offset > (uint64_t)INT64_MAX - length
               ? -ENOMEM
               : 0;
}

/* A loader maps segments over the first mapping of an object, which needs memory of its own. */
static bool stays_in_place(const struct backing *backing, int protection, int flags,
                           uint64_t offset, uint64_t length)
{
    return backing && backing->place && !(protection & (PROT_WRITE | PROT_EXEC)) &&
           !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_DENYWRITE)) &&
           in_data(backing->place, offset) && in_data(backing->place + offset, length);
}

int64_t memory_map(uint64_t address, uint64_t length, int protection, int flags,
                   const struct backing *backing, uint64_t offset)
{
    if (stays_in_place(backing, protection, flags, offset, page_up(length)))
        return (int64_t)(backing->place + offset);
    const bool anywhere = protection == PROT_NONE && !backing;
    const int64_t error = check_map(length, anywhere ? RESERVE_BYTES : program_end, flags, offset);
    if (error)
        return error;
    length = page_up(length);
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (backing && backing->memory && (flags & MAP_TYPE) != MAP_PRIVATE)
        return map_shared(address, length, protection, flags, backing, offset);
    return backing ? map_file(address, length, protection, flags, backing, offset)
                   : map_anonymous(address, length, protection, flags);
}

/* Removes what is mapped in a range, but for a file's own pages. */
static void remove_mappings(uint64_t start, uint64_t end)
{
    while (start < end) {
        const size_t index = region_find(start);
        if (index == region_count() || region_at(index)->start >= end)
            return;
        const uint64_t piece_end = minimum(end, region_at(index)->end);
        if (!region_file(region_at(index)))
            regions_remove(start, piece_end);
        start = piece_end;
    }
}

int64_t memory_unmap(uint64_t address, uint64_t length)
{
    if (!(address & PAGE_MASK) && length && in_data(address, page_up(length)))
        return 0; /* it stays where it is */
    if ((address & PAGE_MASK) || length == 0 || !in_memory(address, length))
        return -EINVAL;
    const uint64_t end = address + page_up(length);
    if (range_has_kernel(address, end))
        return -EINVAL;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    if (in_reserve(address, length))
        reserve_release(address, end);
    const int64_t error = file_memory_unmap(address, end);
    if (error == 0)
        remove_mappings(address, end);
    return error;
}

/* Memory that was reserved becomes writable: from now on it may hold something. */
static void mark_reserved_pages(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++) {
        const struct region *region = region_at(index);
        if (region->protection == PROT_NONE)
            pages_mark_used(maximum(start, region->start), minimum(end, region->end));
    }
}

static int64_t give_access(uint64_t start, uint64_t end, int protection)
{
    if (in_reserve(start, end - start))
        return reserve_give(start, end, protection);
    if (protection != PROT_NONE)
        mark_reserved_pages(start, end);
    return 0;
}

static bool has_protection(uint64_t start, uint64_t end, int protection)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->protection != protection)
            return false;
    return true;
}

static bool may_become_writable(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->shared && region_at(index)->name && !region_at(index)->may_write)
            return false;
    return true;
}

static int64_t protect(uint64_t address, uint64_t end, int protection)
{
    if (!range_is_mapped(address, end) || range_has_kernel(address, end))
        return -ENOMEM;
    if ((protection & PROT_WRITE) && !may_become_writable(address, end))
        return -EACCES;
    if (has_protection(address, end, protection))
        return 0;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    const int64_t error = give_access(address, end, protection);
    if (error == 0)
        regions_protect(address, end, protection);
    return error;
}

int64_t memory_protect(uint64_t address, uint64_t length, int protection)
{
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (address & PAGE_MASK)
        return -EINVAL;
    if (length == 0)
        return 0;
    if (in_data(address, page_up(length)))
        return protection & (PROT_WRITE | PROT_EXEC) ? -EACCES : 0;
    return in_memory(address, length) ? protect(address, address + page_up(length), protection)
                                      : -ENOMEM;
}

/* ---- The stack, and the seal ---- */

uint64_t memory_stack_size(void)
{
    return program_end - stack_start;
}

bool memory_in_stack_guard(uint64_t address)
{
    const size_t index = region_find(address);
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    const bool of_thread = region && region->start <= address && region->lazy &&
                           region->protection == PROT_NONE;
    return of_thread || address - (stack_start - UDFVM_STACK_GUARD) < UDFVM_STACK_GUARD;
}

void memory_prepare_seal(void)
{
    uint64_t address = program_start;
    for (size_t index = 0; index < region_count(); index++) {
        const struct region *region = region_at(index);
        if (region->start < program_end) {
            pages_hand_out(address, region->start, false);
            address = region->end;
        }
        if (region->wiped)
            pages_zero(region->start, region->end);
    }
    pages_hand_out(address, program_end, false);
}
