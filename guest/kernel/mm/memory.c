/* Mappings and kernel pages in program memory.
 *
 * Virtual and physical memory are the same here, so a mapping takes memory as soon as it is made,
 * PROT_NONE or not. Mappings are placed bottom-up, lowest fit first, which leaves the room above
 * the newest one free for it to grow in place; what the kernel takes is placed top-down.
 * Protections are book-keeping: the page tables are the host's and map everything alike.
 */
#include "mm/memory.h"
#include "vfs/vfs.h"

#define SMALL_RESERVATION (1ull << 20)
#define BELOW_2_GIB       0x80000000ull

static uint64_t stack_start;

void memory_init(uint64_t memory_end)
{
    stack_start = memory_end - udfvm_stack_bytes(memory_end);
    regions_init(UDFVM_PROGRAM_BASE, stack_start - UDFVM_STACK_GUARD, memory_end);
    region_insert((struct region){
        .start = stack_start - UDFVM_STACK_GUARD, .end = stack_start, .kind = REGION_KERNEL });
    region_insert((struct region){ .start = stack_start,
                                   .end = memory_end,
                                   .kind = REGION_STACK,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(stack_start, memory_end, true);
}

bool user_range_ok(uint64_t address, uint64_t length)
{
    if (address >= program_start && address <= program_end)
        return length <= program_end - address;
    if (address >= UDFVM_INPUT_BASE && address - UDFVM_INPUT_BASE <= UDFVM_MAX_WINDOW)
        return length <= UDFVM_MAX_WINDOW - (address - UDFVM_INPUT_BASE);
    if (address < UDFVM_OUTPUT_BASE || address - UDFVM_OUTPUT_BASE > UDFVM_MAX_WINDOW ||
        length > UDFVM_MAX_WINDOW - (address - UDFVM_OUTPUT_BASE))
        return false;
    scratch_open_for(address + length); /* the kernel itself must not fault on it */
    return true;
}

int64_t user_string_length(uint64_t address, size_t limit)
{
    for (size_t length = 0; length < limit; length++) {
        if (!user_range_ok(address + length, 1))
            return -EFAULT;
        if (!*(const char *)(address + length))
            return (int64_t)length;
    }
    return -ENAMETOOLONG;
}

/* ---- The kernel's own pages ---- */

static void *alloc_within(size_t pages, uint64_t low, uint64_t high)
{
    const uint64_t length = pages * PAGE_SIZE;
    if (pages == 0 || pages > (program_end - program_start) / PAGE_SIZE || !regions_have_room(1))
        return NULL;
    uint64_t at = gap_highest(length, low, high);
    if (!at)
        return NULL;
    region_insert((struct region){ .start = at,
                                   .end = at + length,
                                   .kind = REGION_KERNEL,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(at, at + length, true);
    return (void *)at;
}

void *page_alloc(size_t pages)
{
    return alloc_within(pages, program_start, program_end);
}

void *page_alloc_near(size_t pages, uint64_t address, uint64_t distance)
{
    const uint64_t low = address - program_start > distance ? address - distance : program_start;
    return alloc_within(pages, low, minimum(program_end, address + distance));
}

/* Where the map of regions is full, the pages stay taken: nothing is lost but their use. */
void page_free(void *p, size_t pages)
{
    if (p && regions_have_room(2))
        regions_remove((uint64_t)p, (uint64_t)p + pages * PAGE_SIZE);
}

/* ---- Mappings ---- */

static bool in_program_memory(uint64_t address, uint64_t length)
{
    return address >= program_start && address <= program_end && length <= program_end - address;
}

static bool in_memory(uint64_t address, uint64_t length)
{
    return in_program_memory(address, length) || scratch_holds(address, length);
}

bool memory_over_limit(uint64_t length)
{
    struct memory_statistics statistics;
    if (region_at(region_count() - 1)->end <= program_end)
        return false;
    memory_statistics(&statistics);
    return statistics.used + length > statistics.total;
}

/* Thread-caching allocators reserve address space by the tens of MiB and use little of it. Address
 * space is memory here, so a reservation may take a quarter of the largest gap and no more;
 * allocators fall back to asking for what they need. */
static bool reservation_too_large(uint64_t length, int protection, int flags)
{
    return protection == PROT_NONE && !(flags & (MAP_STACK | MAP_FIXED | MAP_FIXED_NOREPLACE)) &&
           length > SMALL_RESERVATION && length > largest_gap() / 4;
}

/* In program memory. */
static uint64_t find_place(uint64_t hint, uint64_t length, int flags)
{
    const uint64_t high = flags & MAP_32BIT ? minimum(program_end, BELOW_2_GIB) : program_end;
    hint = page_down(hint);
    if (hint && in_program_memory(hint, length) && range_is_free(hint, hint + length) &&
        hint + length <= high)
        return hint;
    uint64_t at = gap_lowest(length, mappings_start(), high);
    return at ? at : gap_highest(length, program_start, minimum(mappings_start(), high));
}

static uint64_t place_anonymous(uint64_t hint, uint64_t length, int protection, int flags)
{
    const uint64_t at = hint ? 0 : scratch_place(length, protection, flags);
    return at ? at : memory_over_limit(length) ? 0 : find_place(hint, length, flags);
}

/* Clears the way for a mapping at a fixed address. */
static int64_t fixed_place(uint64_t address, uint64_t length, int flags)
{
    if (address & PAGE_MASK)
        return -EINVAL;
    if (!in_memory(address, length) || range_has_kernel(address, address + length) ||
        (scratch_holds(address, length) && !scratch_open()))
        return -ENOMEM;
    if (range_is_free(address, address + length))
        return memory_over_limit(length) ? -ENOMEM : 0;
    if (flags & MAP_FIXED_NOREPLACE)
        return -EEXIST;
    regions_remove(address, address + length);
    return 0;
}

static struct region_name *name_of(struct file *file)
{
    const char *path = vfs_path(file);
    path = path ? path : "";
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

/* The file's contents are already there: a loader maps a library as a whole, then its segments over
 * that. */
static bool already_holds(const struct region *wanted, struct file *file)
{
    if (!vfs_is_constant(file))
        return false;
    uint64_t at = wanted->start;
    for (size_t index = region_find(at); at < wanted->end; index++) {
        if (index == region_count())
            return false;
        const struct region *have = region_at(index);
        if (have->start > at || !have->pristine || have->name != wanted->name ||
            have->offset - have->start != wanted->offset - wanted->start)
            return false;
        at = have->end;
    }
    return true;
}

static int64_t fill_from_file(uint64_t start, uint64_t end, struct file *file, uint64_t offset)
{
    int64_t got = vfs_read_at(file, offset, (void *)start, end - start);
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
        int64_t error = fixed_place(address, length, flags);
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
                        struct file *file, uint64_t offset)
{
    struct region region = { .name = name_of(file),
                             .offset = offset,
                             .protection = (uint8_t)protection,
                             .pristine = !(protection & PROT_WRITE),
                             .shared = (flags & MAP_TYPE) != MAP_PRIVATE };
    if (!region.name || !regions_have_room(3)) {
        region_name_release(region.name);
        return -ENOMEM;
    }
    int64_t error = 0;
    bool held = false;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        region.start = address;
        region.end = address + length;
        held = !(flags & MAP_FIXED_NOREPLACE) && in_program_memory(address, length) &&
               already_holds(&region, file);
        error = fixed_place(address, length, flags);
    } else {
        region.start = memory_over_limit(length) ? 0 : find_place(address, length, flags);
        region.end = region.start + length;
        error = region.start ? 0 : -ENOMEM;
    }
    if (error) {
        region_name_release(region.name);
        return error;
    }
    region_insert(region);
    error = held ? 0 : fill_from_file(region.start, region.end, file, offset);
    if (error)
        regions_remove(region.start, region.end);
    return error ? error : (int64_t)region.start;
}

int64_t memory_map(uint64_t address, uint64_t length, int protection, int flags, struct file *file,
                   uint64_t offset)
{
    const int type = flags & MAP_TYPE;
    if (length == 0 || (offset & PAGE_MASK) ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (length > program_end || !regions_have_room(3) || (flags & MAP_HUGETLB) ||
        offset > (uint64_t)INT64_MAX - length)
        return -ENOMEM;
    length = page_up(length);
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (file)
        return map_file(address, length, protection, flags, file, offset);
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
    if (!regions_have_room(2))
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
    if (!regions_have_room(2))
        return -ENOMEM;
    if (protection != PROT_NONE)
        mark_reserved_pages(address, end);
    regions_protect(address, end, protection);
    return 0;
}

/* ---- mremap ---- */

static bool grow_in_place(const struct region *region, uint64_t old_end, uint64_t new_end)
{
    struct region more = *region;
    if (old_end != region->end || !in_memory(old_end, new_end - old_end) ||
        !range_is_free(old_end, new_end) || region->kind != REGION_PROGRAM ||
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
    moved.kind = REGION_PROGRAM;
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
    int64_t error = fixed_place(target, new_length, 0);
    return error ? error
                 : move(region_at(region_find(address)), address, old_length, new_length, target);
}

int64_t memory_remap(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                     uint64_t new_address)
{
    const bool fixed = flags & MREMAP_FIXED;
    if ((address & PAGE_MASK) || old_length == 0 || new_length == 0 ||
        (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) || (fixed && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (!in_memory(address, old_length))
        return -EFAULT;
    if (new_length > program_end || !regions_have_room(5))
        return -ENOMEM;
    old_length = page_up(old_length);
    new_length = page_up(new_length);
    size_t index = region_find(address);
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    if (!region || region->start > address || region->end < address + old_length ||
        region->kind == REGION_KERNEL)
        return -EFAULT;
    if (fixed)
        return remap_fixed(address, old_length, new_length, new_address);
    if (new_length < old_length)
        regions_remove(address + new_length, address + old_length);
    if (new_length <= old_length ||
        grow_in_place(region, address + old_length, address + new_length))
        return (int64_t)address;
    return flags & MREMAP_MAYMOVE ? move(region, address, old_length, new_length, 0) : -ENOMEM;
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
    uint64_t at = program_start;
    for (size_t index = 0; index < region_count(); index++) {
        pages_hand_out(at, region_at(index)->start, false);
        at = region_at(index)->end;
        if (region_at(index)->wiped)
            pages_zero(region_at(index)->start, at);
    }
    pages_hand_out(at, program_end, false);
}

/* ---- Reports ---- */

void memory_statistics(struct memory_statistics *statistics)
{
    *statistics = (struct memory_statistics){ .total = program_end - program_start };
    for (size_t index = 0; index < region_count(); index++)
        if (region_at(index)->protection != PROT_NONE)
            statistics->used += region_at(index)->end - region_at(index)->start;
}

static size_t region_line(const struct region *region, char *buffer, size_t size)
{
    const int protection = region->protection;
    const char *name = region->name                                 ? region->name->path
                       : region->kind == REGION_HEAP                ? "[heap]"
                       : region->kind == REGION_STACK && protection ? "[stack]"
                                                                    : "";
    return format(buffer, size, "%08llx-%08llx %c%c%c%c %08llx 00:%s %-26s%s\n",
                  (unsigned long long)region->start, (unsigned long long)region->end,
                  protection & PROT_READ ? 'r' : '-', protection & PROT_WRITE ? 'w' : '-',
                  protection & PROT_EXEC ? 'x' : '-', region->shared ? 's' : 'p',
                  (unsigned long long)region->offset, region->name ? "01" : "00",
                  region->name ? "1" : "0", name);
}

size_t memory_maps(char *buffer, size_t size)
{
    size_t length = 0;
    for (size_t index = 0; index < region_count() && length + 1 < size; index++)
        if (region_at(index)->kind != REGION_KERNEL)
            length += region_line(region_at(index), buffer + length, size - length);
    return length;
}

void memory_describe(uint64_t address, char *buffer, size_t size)
{
    const size_t index = region_find(address);
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    buffer[0] = 0;
    if (region && region->start <= address && region->name)
        format(buffer, size, "%s+0x%llx", region->name->path,
               (unsigned long long)(address - region->start + region->offset));
}
