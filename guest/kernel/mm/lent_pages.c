/* Shared mappings of files at addresses of the reserve. The host maps any page of program memory
 * there, so a file's pages get one more address and stay where they are. For the file that is a
 * mapping as any other: the pages are next to each other in program memory, and count it. */
#include "mm/file_memory.h"
#include "mm/memory.h"
#include "mm/regions.h"
#include "mm/reserve.h"

int64_t file_memory_lend(struct file_memory *memory, struct file_mapping wanted,
                         struct region_name *name)
{
    const uint64_t start = wanted.address, length = wanted.count * PAGE_SIZE;
    wanted.address = 0;
    wanted.to_lend = true;
    const int64_t pages = name && regions_have_capacity(6) ? file_memory_map(memory, &wanted)
                                                           : -ENOMEM;
    if (pages < 0) {
        region_name_release(name);
        return pages;
    }
    region_insert((struct region){ .start = start,
                                   .end = start + length,
                                   .offset = wanted.first * PAGE_SIZE,
                                   .name = name,
                                   .frame = (uint64_t)pages,
                                   .protection = (uint8_t)wanted.protection,
                                   .shared = true,
                                   .may_write = wanted.may_write,
                                   .lent = true });
    const int64_t error = reserve_give(start, start + length, wanted.protection);
    if (error)
        memory_unmap(start, length);
    return error ? error : (int64_t)start;
}

int64_t file_memory_lend_more(const struct region *region, uint64_t old_end, uint64_t start,
                              uint64_t end)
{
    struct file_memory *memory = region_file(region_at(region_find(region->frame)));
    const uint64_t behind = region->offset + (old_end - region->start);
    if (!memory)
        return -ENOMEM; /* the program unmapped pages that it did not map */
    region->name->references++;
    const int64_t address = file_memory_lend(
        memory,
        (struct file_mapping){ .first = behind / PAGE_SIZE,
                               .count = (end - start) / PAGE_SIZE,
                               .address = start,
                               .protection = region->protection,
                               .may_write = region->may_write,
                               .path = region->name->path },
        region->name);
    return address < 0 ? address : 0;
}
