/* The map of program memory, the reserve and scratch: a sorted array of disjoint regions. */
#ifndef UDFVM_REGIONS_H
#define UDFVM_REGIONS_H

#include "kernel.h"

#include <linux/mman.h>

/* REGION_FILE: pages of a file in memory that are not mapped now */
enum region_use { REGION_PROGRAM, REGION_HEAP, REGION_STACK, REGION_KERNEL, REGION_FILE };

/* The file behind a mapping, shared by the regions that came from it. */
struct region_name {
    struct file_memory *memory; /* the regions are this file's own pages; NULL: they are copies */
    uint32_t references;
    char path[];
};

struct region {
    uint64_t start, end;
    uint64_t offset;          /* in the file, of `start` */
    struct region_name *name; /* NULL: anonymous */
    uint64_t frame;           /* in the reserve: the page of program memory of `start`; 0: none */
    uint8_t protection;       /* PROT_ bits */
    uint8_t use;              /* enum region_use */
    bool shared;
    bool may_write; /* of a file's mapping: the program opened the file for writing */
    bool pristine;  /* a file mapping that was never writable: it still holds what the file holds */
    bool wiped;     /* MADV_WIPEONFORK: a call finds zeros there */
    bool lazy;      /* in the reserve: its pages get frames when they are used */
    bool lent;      /* in the reserve: its frames are a file's pages, which count a mapping */
    uint8_t access; /* UDFVM_MAP_ of the frames, which the program may have less of */
};

/* Begins with program memory [start, end) free, except the array of regions and the page bitmap,
 * which end at `top`. */
void regions_init(uint64_t start, uint64_t top, uint64_t end);
extern uint64_t program_start, program_end; /* bounds of program memory */
size_t region_count(void);
struct region *region_at(size_t index);
/* Index of the first region that ends after `address`; region_count() where none does. */
size_t region_find(uint64_t address);
/* True if `more` regions can be added. One insertion needs 1; the others up to 2. */
bool regions_have_capacity(size_t more);
/* Adds a region to a gap; takes over its reference to the name. Joins it to neighbours of the same
 * use. */
void region_insert(struct region region);
void regions_remove(uint64_t start, uint64_t end);
void regions_protect(uint64_t start, uint64_t end, int protection);
void regions_spoil(uint64_t start, uint64_t end); /* no longer pristine */
void regions_wipe(uint64_t start, uint64_t end, bool wiped);
/* Of a range within one region. Frame 0: it has none. */
void regions_set_frames(uint64_t start, uint64_t end, uint64_t frame, uint8_t access);
bool range_is_free(uint64_t start, uint64_t end);
bool range_is_mapped(uint64_t start, uint64_t end);
bool range_has_kernel(uint64_t start, uint64_t end);
bool range_has_mapping(uint64_t start, uint64_t end); /* something besides pages of files */
/* A gap of `length` bytes within [low, high): the lowest, or its lowest fit from the top; 0 where
 * there is none. */
uint64_t gap_lowest(uint64_t length, uint64_t low, uint64_t high);
uint64_t gap_highest(uint64_t length, uint64_t low, uint64_t high);
uint64_t largest_gap(void);
/* From now on UDFVM_PEAK_MEMORY has the most that is in use, from what is so now on. */
void regions_begin_peak(void);
struct region_name *region_name_create(const char *path); /* with one reference; or NULL */
void region_name_release(struct region_name *name);
/* Pages of a file get mapped, or once more: then they keep what the other mapping permits. */
void regions_map_file(uint64_t start, uint64_t end, int protection, bool may_write);
void regions_unmap_file(uint64_t start, uint64_t end);

#endif
