/* Contents of files in memory: pages, with holes. */
#include "mm/file_memory.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/pages.h"
#include "mm/regions.h"

#define MIN_SLOTS 8u

int64_t file_memory_reserve(struct file_memory *memory, size_t count)
{
    if (count <= memory->slots)
        return 0;
    size_t slots = memory->slots ? memory->slots : MIN_SLOTS;
    while (slots < count)
        slots *= 2;
    struct file_page *pages = kernel_alloc(slots * sizeof *pages);
    if (!pages && slots > count)
        pages = kernel_alloc((slots = count) * sizeof *pages);
    if (!pages)
        return -ENOSPC;
    if (memory->pages)
        memcpy(pages, memory->pages, memory->slots * sizeof *pages);
    kernel_free(memory->pages);
    memory->pages = pages;
    memory->slots = slots;
    return 0;
}

uint8_t *file_memory_page(const struct file_memory *memory, size_t index)
{
    return index < memory->slots ? page_address(&memory->pages[index]) : NULL;
}

uint8_t *file_memory_provide(struct file_memory *memory, size_t index)
{
    struct file_page *page = &memory->pages[index];
    if (!page->number)
        page->number = (uint32_t)((uint64_t)page_alloc(1) / PAGE_SIZE);
    return page_address(page);
}

static void cut_page(struct file_page *page)
{
    if (page->mappings) {
        pages_zero((uint64_t)page_address(page), (uint64_t)page_address(page) + PAGE_SIZE);
    } else if (page->number) {
        page_free(page_address(page), 1);
        *page = (struct file_page){ .number = 0 };
    }
}

void file_memory_cut(struct file_memory *memory, uint64_t size)
{
    const size_t keep = page_up(size) / PAGE_SIZE;
    for (size_t i = memory->slots; i > keep; i--) /* downwards: regions end earlier, not split */
        cut_page(&memory->pages[i - 1]);
    uint8_t *last = size % PAGE_SIZE ? file_memory_page(memory, keep - 1) : NULL;
    if (last)
        memset(last + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
    if (size == 0 && !memory->mapped) {
        kernel_free(memory->pages);
        memory->pages = NULL;
        memory->slots = 0;
    }
}

void file_memory_clear(struct file_memory *memory, uint64_t start, uint64_t end)
{
    if (!memory->name)
        return; /* what was never mapped is zero behind the end */
    end = minimum(end, memory->slots * PAGE_SIZE);
    while (start < end) {
        uint8_t *page = file_memory_page(memory, start / PAGE_SIZE);
        const uint64_t part = minimum(end - start, PAGE_SIZE - start % PAGE_SIZE);
        if (page && part == PAGE_SIZE)
            pages_zero((uint64_t)page, (uint64_t)page + PAGE_SIZE);
        else if (page)
            memset(page + start % PAGE_SIZE, 0, part);
        start += part;
    }
}

void file_memory_punch(struct file_memory *memory, uint64_t start, uint64_t end)
{
    end = minimum(end, memory->slots * PAGE_SIZE);
    while (start < end) {
        struct file_page *page = &memory->pages[start / PAGE_SIZE];
        const uint64_t within = start % PAGE_SIZE, part = minimum(end - start, PAGE_SIZE - within);
        if (part == PAGE_SIZE)
            cut_page(page);
        else if (page->number)
            memset(page_address(page) + within, 0, part);
        start += part;
    }
}

uint64_t file_memory_seek(const struct file_memory *memory, uint64_t offset, bool hole)
{
    size_t index = offset / PAGE_SIZE;
    while (index < memory->slots && !memory->pages[index].number != hole)
        index++;
    return index >= memory->slots && !hole ? UINT64_MAX : maximum(offset, index * PAGE_SIZE);
}

void file_memory_free(struct file_memory *memory)
{
    file_memory_cut(memory, 0);
    if (memory->name)
        memory->name->memory = NULL;
    region_name_release(memory->name);
    memory->name = NULL;
}
