#include "mm/report.h"
#include "lib/string.h"
#include "mm/regions.h"
#include "mm/reserve.h"
#include "size_text.h"

static uint64_t address_space_limit = UINT64_MAX;

static bool is_of_program(const struct region *region)
{
    return region->use != REGION_KERNEL && region->use != REGION_FILE;
}

void memory_statistics(struct memory_statistics *statistics)
{
    *statistics = (struct memory_statistics){ .total = program_end - program_start };
    for (size_t index = 0; index < region_count(); index++) {
        const struct region *region = region_at(index);
        const uint64_t length = region->end - region->start;
        if (region->protection != PROT_NONE && !in_reserve(region->start, 1))
            statistics->used += length;
        else if (is_of_program(region))
            statistics->reserved += length;
    }
}

void address_space_set_limit(uint64_t wanted)
{
    address_space_limit = wanted;
}

static uint64_t mapped_within(uint64_t start, uint64_t end)
{
    uint64_t mapped = 0;
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (is_of_program(region_at(index)))
            mapped += minimum(region_at(index)->end, end) - maximum(region_at(index)->start, start);
    return mapped;
}

bool address_space_exceeded(uint64_t address, uint64_t length)
{
    if (address_space_limit == UINT64_MAX)
        return false;
    if (length > address_space_limit)
        return true;
    const uint64_t end = address + page_up(length);
    const uint64_t mapped = mapped_within(0, UINT64_MAX),
                   goes = address && end > address ? mapped_within(address, end) : 0;
    return mapped - goes + page_up(length) > address_space_limit;
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
        if (is_of_program(region_at(index)))
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
