/* The virtual file system, as the rest of the kernel sees it. Its system calls enter themselves
 * into the dispatcher's table.
 *
 * One tree: memory file systems at a few mount points, generated files under /proc, /sys and /dev,
 * and below all that the host's read-only files, which arrive by hypercall. What is in memory hides
 * what the host has under the same name.
 */
#ifndef UDFVM_VFS_H
#define UDFVM_VFS_H

#include "mm/memory.h"

struct file;

/* The program that runs, for /proc and for the home directory. */
struct program_start {
    const char *path;
    int argc;
    char **argv;
    int envc;
    char **envp;
};

void vfs_init(const struct program_start *program);
/* Opens by absolute path. NULL: *error is a negative errno. */
struct file *vfs_open(const char *path, int flags, int mode, int64_t *error);
struct file *file_get(int fd);    /* one more reference; NULL: EBADF */
void file_put(struct file *file); /* NULL is allowed */
/* What a mapping of the file needs; valid while the file is open. */
struct backing file_backing(struct file *file);
/* All of it, or up to the end of the file. Length read or negative errno. */
int64_t file_read_at(struct file *file, uint64_t offset, void *buffer, size_t length);
void vfs_prepare_seal(void);

#endif
