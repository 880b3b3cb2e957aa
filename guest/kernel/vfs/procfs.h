/* Generated files: procfs.c has their names; procfs_texts.c and procfs_processor.c have their
 * contents. */
#ifndef UDFVM_PROCFS_H
#define UDFVM_PROCFS_H

#include "vfs/file.h"

/* A file with a constant text, or with a function that generates it. `write` writes at most
 * `size` bytes and returns their number. If it is `size`, the text may be longer. */
struct generated {
    const char *path;
    const char *text;
    size_t (*write)(char *to, size_t size);
};
extern const struct generated generated[];
extern const size_t generated_count;

/* Writes /proc/cpuinfo: procfs_processor.c. */
size_t procfs_write_processor(char *to, size_t size);

#endif
