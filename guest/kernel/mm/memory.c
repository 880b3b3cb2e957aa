/* Mappings. Virtual and physical memory are the same here, so a mapping takes memory when it is
 * made, even with PROT_NONE. Protections are only recorded: the page tables belong to the host and
 * map everything alike. */
#include "mm/memory.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"

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
        if (name && strcmp(name->path, path) == 0) {
            name->references++;
            return name;
        }
    }
    struct region_name *name = kernel_alloc(sizeof *name + strlen(path) + 1);
    if (name) {
        name->references = 1;
        memcpy(name->path, path, strlen(path) + 1);
    }
    return name;
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

static int64_t map_anonymous(uint64_t address, uint64_t length, int protection, int flags)
{
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        int64_t error = clear_fixed(address, length, flags);
        if (error)
            return error;
    } else if (!(address = place_anonymous(address, length, protection, flags))) {
        return -ENOMEM;
    }
    region_insert((struct region){
        .start = address, .end = address + length, .protection = (uint8_t)protection });
    pages_hand_out(address, address + length, protection != PROT_NONE);
    return (int64_t)address;
}

static int64_t map_file(uint64_t address, uint64_t length, int protection, int flags,
                        const struct backing *backing, uint64_t offset)
{
    struct region region = { .name = name_of(backing),
                             .offset = offset,
                             .protection = (uint8_t)protection,
                             .pristine = !(protection & PROT_WRITE),
                             .shared = (flags & MAP_TYPE) != MAP_PRIVATE };
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
    error = held ? 0 : fill_from_file(region.start, region.end, backing, offset);
    if (error)
        regions_remove(region.start, region.end);
    return error ? error : (int64_t)region.start;
}

int64_t memory_map(uint64_t address, uint64_t length, int protection, int flags,
                   const struct backing *backing, uint64_t offset)
{
    const int type = flags & MAP_TYPE;
    if (length == 0 || (offset & PAGE_MASK) ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (length > program_end || !regions_have_capacity(3) || (flags & MAP_HUGETLB) ||
        offset > (uint64_t)INT64_MAX - length)
        return -ENOMEM;
    length = page_up(length);
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (backing)
        return map_file(address, length, protection, flags, backing, offset);
    return reservation_too_large(length, protection, flags)
               ? -ENOMEM
               : map_anonymous(address, length, protection, flags);
}

int64_t memory_unmap(uint64_t address, uint64_t length)
{
    if ((address & PAGE_MASK) || length == 0 || !in_memory(address, length))
        return -EINVAL;
    const uint64_t end = address + page_up(length);
    if (range_has_kernel(address, end))
        return -EINVAL;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    regions_remove(address, end);
    return 0;
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

static bool has_protection(uint64_t start, uint64_t end, int protection)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->protection != protection)
            return false;
    return true;
}

int64_t memory_protect(uint64_t address, uint64_t length, int protection)
{
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (address & PAGE_MASK)
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!in_memory(address, length))
        return -ENOMEM;
    const uint64_t end = address + page_up(length);
    if (!range_is_mapped(address, end) || range_has_kernel(address, end))
        return -ENOMEM;
    if (has_protection(address, end, protection))
        return 0;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    if (protection != PROT_NONE)
        mark_reserved_pages(address, end);
    regions_protect(address, end, protection);
    return 0;
}

/* ---- The stack, and the seal ---- */

uint64_t memory_stack_size(void)
{
    return program_end - stack_start;
}

bool memory_in_stack_guard(uint64_t address)
{
    return address - (stack_start - UDFVM_STACK_GUARD) < UDFVM_STACK_GUARD;
}

void memory_prepare_seal(void)
{
    uint64_t address = program_start;
    for (size_t index = 0; index < region_count(); index++) {
        pages_hand_out(address, region_at(index)->start, false);
        address = region_at(index)->end;
        if (region_at(index)->wiped)
            pages_zero(region_at(index)->start, address);
    }
    pages_hand_out(address, program_end, false);
}
