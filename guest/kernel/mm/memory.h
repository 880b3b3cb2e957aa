/* Mappings of program memory, its stack, and its seal. */
#ifndef UDFVM_MEMORY_H
#define UDFVM_MEMORY_H

#include "kernel.h"

#include <linux/mman.h>

/* The file behind a mapping, as memory uses it. vfs/ and boot/ make them from open files. */
struct backing {
    const char *path;           /* "": the file has no name */
    bool constant;              /* its contents never change */
    bool writable;              /* it is open for writing */
    struct file_memory *memory; /* shared mappings are its own pages; NULL: they are copies */
    uint64_t place;             /* where all of it lies already, for reading alone; 0: nowhere */
    void *file;
    /* Reads all of it, or up to the end of the file. Length read or negative errno. */
    int64_t (*read)(void *file, uint64_t offset, void *buffer, size_t length);
};

void memory_init(uint64_t memory_end);
/* As mmap(2), with a backing instead of a descriptor (NULL: anonymous). Address or negative errno.
 */
int64_t memory_map(uint64_t address, uint64_t length, int protection, int flags,
                   const struct backing *backing, uint64_t offset);
int64_t memory_unmap(uint64_t address, uint64_t length);
int64_t memory_protect(uint64_t address, uint64_t length, int protection);
int64_t memory_remap(uint64_t address, uint64_t old_length, uint64_t new_length, int flags,
                     uint64_t new_address);
/* Of the first thread's stack, which ends where program memory ends. */
uint64_t memory_stack_size(void);
bool memory_in_stack_guard(uint64_t address);
/* Zeroes used pages that are free, so that a sealed image does not contain them, and memory that is
 * zero in a forked child. */
void memory_prepare_seal(void);

#endif
