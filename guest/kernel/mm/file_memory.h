/* Contents of files in memory, and shared mappings of them. There is one address space without page
 * tables of its own, so a shared mapping is the file's own pages, brought next to each other. Pages
 * that are mapped stay where they are until they are no longer mapped. */
#ifndef UDFVM_FILE_MEMORY_H
#define UDFVM_FILE_MEMORY_H

#include "kernel.h"

/* One page of a file. */
struct file_page {
    uint32_t number;        /* of the page of memory; 0: a hole */
    uint32_t mappings : 31; /* how often it is mapped */
    uint32_t placed : 1;    /* it lies in a region that has the file's name */
};

struct file_memory {
    struct file_page *pages;
    size_t slots;
    struct region_name
        *name;       /* of the regions that its placed pages lie in; NULL: there are none */
    uint64_t mapped; /* the sum of all pages' `mappings` */
    void (*idle)(struct file_memory *memory); /* called when nothing of it is mapped any more */
};

/* A mapping that a program wants of `count` pages. */
struct file_mapping {
    size_t first, count;
    uint64_t address; /* 0: wherever there is space; otherwise there, where the way was cleared */
    bool to_lend;     /* the space is to be in program memory */
    int protection;
    bool may_write; /* mprotect(2) may make it writable */
    const char *path;
};

static inline uint8_t *page_address(const struct file_page *page)
{
    return (uint8_t *)((uint64_t)page->number * PAGE_SIZE);
}

/* ---- Contents: file_memory.c ---- */

/* Grows the table of pages to at least `count` slots. Returns 0 or -ENOSPC. */
int64_t file_memory_reserve(struct file_memory *memory, size_t count);
uint8_t *file_memory_page(const struct file_memory *memory, size_t index); /* NULL: a hole */
/* Returns a page that has a slot; a hole becomes a page of zeros. NULL: memory is out. */
uint8_t *file_memory_provide(struct file_memory *memory, size_t index);
/* Frees what lies past `size`; pages that are mapped become zero. */
void file_memory_cut(struct file_memory *memory, uint64_t size);
/* Makes bytes [start, end) zero: a mapping may have written past the end of the file. */
void file_memory_clear(struct file_memory *memory, uint64_t start, uint64_t end);
/* Makes bytes [start, end) a hole: frees whole pages, but those that are mapped become zero. */
void file_memory_punch(struct file_memory *memory, uint64_t start, uint64_t end);
/* Where the next hole, or what is none, begins: at `offset` or behind it. UINT64_MAX: the rest is a
 * hole. */
uint64_t file_memory_seek(const struct file_memory *memory, uint64_t offset, bool hole);
void file_memory_free(struct file_memory *memory); /* nothing of it may be mapped */

/* ---- Mappings: file_mapping.c ---- */

/* Returns the address, or -ENOMEM; -EINVAL if pages would have to be in two places. */
int64_t file_memory_map(struct file_memory *memory, const struct file_mapping *wanted);
/* Ends one mapping of each page that is mapped in the range. The pages stay there, in the file. */
int64_t file_memory_unmap(uint64_t start, uint64_t end);
/* Does so, and moves files' pages out of the range, whose regions the caller then removes. Returns
 * -EINVAL if other mappings need the pages there. */
int64_t file_memory_make_way(uint64_t start, uint64_t end);
/* Maps pages at an address of the reserve, where the way was cleared: their own place in program
 * memory is mapped there once more, so other mappings may be anywhere. Takes over a reference to
 * the name, which is not the file's. Returns the address or negative errno. */
int64_t file_memory_lend(struct file_memory *memory, struct file_mapping wanted,
                         struct region_name *name);
/* Maps at [start, end) the pages of a file that follow those which lie in such a region up to
 * `old_end`. 0 or negative errno. */
struct region;
int64_t file_memory_lend_more(const struct region *region, uint64_t old_end, uint64_t start,
                              uint64_t end);
/* Returns the file whose pages a mapping is; NULL: it has pages of its own. */
struct file_memory *region_file(const struct region *region);
/* As mremap(2), for a range in one such region. `address` 0: the new one may be anywhere;
 * otherwise there. */
int64_t file_memory_remap(uint64_t start, uint64_t old_length, uint64_t new_length, bool may_move,
                          uint64_t address);

#endif
