/* The kernel's pages, which are regions of program memory, and its heap: free lists by size class
 * over page_alloc(). A block begins with a header that has its class. Larger blocks are pages of
 * their own. */
#include "mm/alloc.h"
#include "lib/string.h"
#include "mm/pages.h"
#include "mm/regions.h"

#define CLASSES     9u /* 32, 64, ... 8192 bytes, header included */
#define MIN_BLOCK   32u
#define CHUNK_PAGES 4u

struct heap_block {
    uint64_t class;          /* CLASSES and above: class - CLASSES pages */
    struct heap_block *next; /* while free */
};
_Static_assert(sizeof(struct heap_block) == 16, "keeps what follows aligned");

static HOT_DATA struct heap_block *free_blocks[CLASSES];

/* ---- Pages ---- */

static void *alloc_within(size_t pages, uint64_t low, uint64_t high)
{
    const uint64_t length = pages * PAGE_SIZE;
    if (pages == 0 || pages > (program_end - program_start) / PAGE_SIZE ||
        !regions_have_capacity(1))
        return NULL;
    uint64_t address = gap_highest(length, low, high);
    if (!address)
        return NULL;
    region_insert((struct region){ .start = address,
                                   .end = address + length,
                                   .use = REGION_KERNEL,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(address, address + length, true);
    return (void *)address;
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

/* If the map of regions is full, the pages stay allocated, and are only lost for other uses. */
void page_free(void *p, size_t pages)
{
    if (p && regions_have_capacity(2))
        regions_remove((uint64_t)p, (uint64_t)p + pages * PAGE_SIZE);
}

/* ---- Heap ---- */

static size_t class_size(unsigned class)
{
    return (size_t)MIN_BLOCK << class;
}

static bool refill(unsigned class)
{
    uint8_t *chunk = page_alloc(CHUNK_PAGES);
    if (!chunk)
        return false;
    for (size_t at = 0; at < CHUNK_PAGES * PAGE_SIZE; at += class_size(class)) {
        struct heap_block *block = (struct heap_block *)(chunk + at);
        block->next = free_blocks[class];
        free_blocks[class] = block;
    }
    return true;
}

static void *alloc_pages(size_t bytes)
{
    const size_t pages = page_up(bytes) / PAGE_SIZE;
    struct heap_block *block = page_alloc(pages);
    if (!block)
        return NULL;
    block->class = CLASSES + pages;
    return block + 1;
}

void *kernel_alloc(size_t bytes)
{
    unsigned class = 0;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes += sizeof(struct heap_block);
    while (class < CLASSES && class_size(class) < bytes)
        class++;
    if (class == CLASSES)
        return alloc_pages(bytes);
    if (!free_blocks[class] && !refill(class))
        return NULL;
    struct heap_block *block = free_blocks[class];
    free_blocks[class] = block->next;
    block->class = class;
    memset(block + 1, 0, bytes - sizeof *block);
    return block + 1;
}

void kernel_free(void *p)
{
    if (!p)
        return;
    struct heap_block *block = (struct heap_block *)p - 1;
    if (block->class >= CLASSES) {
        page_free(block, block->class - CLASSES);
        return;
    }
    block->next = free_blocks[block->class];
    free_blocks[block->class] = block;
}
