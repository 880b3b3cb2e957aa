/* Program memory: regions, pages, mappings. Inside the kernel only. */
#ifndef UDFVM_MEMORY_H
#define UDFVM_MEMORY_H

#include "kernel.h"

#include <linux/mman.h>

struct file;

/* ---- regions.c: what lies where in program memory, as a sorted array of disjoint regions ---- */

enum region_kind { REGION_PROGRAM, REGION_HEAP, REGION_STACK, REGION_KERNEL };

/* The file behind a mapping, shared by the regions that came from it. */
struct region_name {
    uint32_t references;
    char path[];
};

struct region {
    uint64_t start, end;
    uint64_t offset;          /* in the file, of `start` */
    struct region_name *name; /* NULL: anonymous */
    uint8_t protection;       /* PROT_ bits */
    uint8_t kind;             /* enum region_kind */
    bool shared;
    bool pristine; /* a file mapping that was never writable: it still holds what the file holds */
    bool wiped;    /* MADV_WIPEONFORK: a call finds zeros there */
};

/* Places the array of regions and the page bitmap at the top of [start, end). */
/* Of program memory [start, end); its own books end at `top`. */
void regions_init(uint64_t start, uint64_t top, uint64_t end);
extern uint64_t program_start, program_end; /* bounds of program memory */
size_t region_count(void);
struct region *region_at(size_t index);
/* Index of the first region that ends after `address`; region_count() where none does. */
size_t region_find(uint64_t address);
/* True if `more` regions can be added. One insertion needs 1; the others up to 2. */
bool regions_have_room(size_t more);
/* Adds a region to a gap; takes over its reference to the name. Joins it to neighbours of the same
 * kind. */
void region_insert(struct region region);
void regions_remove(uint64_t start, uint64_t end);
void regions_protect(uint64_t start, uint64_t end, int protection);
void regions_spoil(uint64_t start, uint64_t end); /* no longer pristine */
void regions_wipe(uint64_t start, uint64_t end, bool wiped);
bool range_is_free(uint64_t start, uint64_t end);
bool range_is_mapped(uint64_t start, uint64_t end);
bool range_has_kernel(uint64_t start, uint64_t end);
/* A gap of `length` bytes within [low, high): the lowest, or its lowest fit from the top; 0 where
 * there is none. */
uint64_t gap_lowest(uint64_t length, uint64_t low, uint64_t high);
uint64_t gap_highest(uint64_t length, uint64_t low, uint64_t high);
uint64_t largest_gap(void);
void region_name_release(struct region_name *name);

/* ---- pages.c: which pages of program memory and scratch may hold something other than zeros ----
 */

void pages_init(uint64_t *bitmap, uint64_t start);
/* Makes [start, end) zero; afterwards the pages count as used if the program can now write to them.
 */
void pages_hand_out(uint64_t start, uint64_t end, bool accessible);
void pages_mark_used(uint64_t start, uint64_t end);
void pages_zero(uint64_t start, uint64_t end); /* contents only: they stay in use */
bool page_is_used(uint64_t address);
/* Moves contents between two ranges that are both handed out; they may not overlap. */
void pages_copy(uint64_t to, uint64_t from, uint64_t length);

/* ---- scratch.c: memory of the call beside program memory, for large blocks ---- */

/* Place for an anonymous mapping, accessible; 0: not for this one, or no room. */
uint64_t scratch_place(uint64_t length, int protection, int flags);
bool scratch_holds(uint64_t address, uint64_t length);
uint64_t scratch_end(void);
/* Makes scratch and all of the output window accessible. */
bool scratch_open(void);
/* Whether a fault at the address, or a use of it to come, is reason to open: then it is done. */
bool scratch_open_for(uint64_t address);
void scratch_prepare_seal(void);

/* ---- heap.c ---- */

/* Where the program's heap begins; it may grow to a quarter of program memory. Mappings are placed
 * behind that, while there is room. */
void heap_set(uint64_t address);
/* Begins another heap, below the first, which stays as it is from now on. 0 or negative errno. */
int64_t heap_begin_other(uint64_t address);
/* As brk(2), without the C library's wrapping: the end of the heap, which is the wanted one or,
 * refused, the old one. */
int64_t heap_break(uint64_t address);
uint64_t mappings_start(void);

/* ---- memory.c ---- */

void memory_init(uint64_t memory_end);
/* As page_alloc(), less than `distance` away from an address in program memory. */
void *page_alloc_near(size_t pages, uint64_t address, uint64_t distance);
/* As mmap(2), with an open file instead of a descriptor (NULL: anonymous). Address or negative
 * errno. */
int64_t memory_map(uint64_t address, uint64_t length, int protection, int flags, struct file *file,
                   uint64_t offset);
int64_t memory_unmap(uint64_t address, uint64_t length);
int64_t memory_protect(uint64_t address, uint64_t length, int protection);
int64_t memory_remap(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                     uint64_t new_address);
/* What is mapped in scratch counts against the VM's memory, although program memory has room: so
 * many bytes more would be too much. */
bool memory_over_limit(uint64_t length);
/* Says what was refused, for the report of a program that ended; "" where nothing was. */
void memory_describe_refusal(char *text, size_t size);
/* Of the first thread's stack, which ends where program memory ends. */
uint64_t memory_stack_size(void);
bool memory_in_stack_guard(uint64_t address);
/* Zeroes pages that were used and are free, so that a sealed image does not carry them, and what is
 * to be zero in a forked child. */
void memory_prepare_seal(void);
/* "path+offset" of a mapped file, for reports; empty where there is none. */
void memory_describe(uint64_t address, char *buffer, size_t size);

#endif
