/* Generated files, between procfs.c (names), procfs_texts.c and procfs_processor.c (contents). */
#ifndef UDFVM_PROCFS_H
#define UDFVM_PROCFS_H

#include "vfs/file.h"

/* A file with the same text always, or else one whose text `write` makes: it writes at most `size`
 * bytes and returns how many; where that is all of them, there may be more. */
struct generated {
    const char *path;
    const char *text;
    size_t (*write)(char *to, size_t size);
};
extern const struct generated generated[];
extern const size_t generated_count;

/* Of /proc/cpuinfo: procfs_processor.c. */
size_t procfs_write_processor(char *to, size_t size);

#endif
