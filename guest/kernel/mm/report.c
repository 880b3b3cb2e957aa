#include "mm/report.h"
#include "lib/string.h"
#include "mm/regions.h"
#include "mm/reserve.h"
#include "size_text.h"

void memory_statistics(struct memory_statistics *statistics)
{
    *statistics = (struct memory_statistics){ .total = program_end - program_start };
    for (size_t index = 0; index < region_count(); index++)
        if (region_at(index)->protection != PROT_NONE && !in_reserve(region_at(index)->start, 1))
            statistics->used += region_at(index)->end - region_at(index)->start;
}

static size_t region_line(const struct region *region, char *buffer, size_t size)
{
    const int protection = region->protection;
    const char *name = region->name                                ? region->name->path
                       : region->use == REGION_HEAP                ? "[heap]"
                       : region->use == REGION_STACK && protection ? "[stack]"
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
        if (region_at(index)->use != REGION_KERNEL && region_at(index)->use != REGION_FILE)
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

static struct udfvm_refused_memory *refused(void)
{
    return (struct udfvm_refused_memory *)UDFVM_REFUSED_MEMORY;
}

void memory_note_refusal(uint64_t length)
{
    struct memory_statistics statistics;
    memory_statistics(&statistics);
    /* Of all memory, the kernel's included: users know that number. */
    *refused() = (struct udfvm_refused_memory){ length, program_start + statistics.used,
                                                program_end, largest_gap() };
}

void memory_describe_refusal(char *text, size_t size)
{
    const struct udfvm_refused_memory *last = refused();
    text[0] = 0;
    if (last->length)
        format(text, size,
               "out of memory: %s do not fit into the largest free piece, %s, where %s of %s are "
               "used; raise memory=",
               size_text(last->length).text, size_text(last->largest_free).text,
               size_text(last->used).text, size_text(last->total).text);
}
