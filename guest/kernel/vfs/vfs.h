/* The virtual file system's interface to the rest of the kernel. Its system calls register
 * themselves in the dispatcher's table.
 *
 * There is one tree. A few mount points have memory file systems; /proc, /sys and /dev have
 * generated files. Everything below is the host's, read-only, and arrives by hypercall. A file
 * in memory hides the host's file of the same name.
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
/* These return one more reference; NULL if the descriptor is closed. One of O_PATH stands for a
 * name alone: file_get() does not return it. */
struct file *file_get(int fd);
struct file *file_get_named(int fd);
void file_put(struct file *file);            /* NULL is allowed */
void descriptors_set_limit(uint64_t wanted); /* RLIMIT_NOFILE */
void sizes_set_limit(uint64_t wanted);       /* RLIMIT_FSIZE */
/* Returns 0, or the error of a mapping of the file with PROT_ and MAP_ flags. */
int64_t file_check_mapping(const struct file *file, int protection, int flags);
/* Returns the backing that a mapping of the file needs. It is valid while the file is open. */
struct backing file_backing(struct file *file);
/* Reads `length` bytes, or up to the end of the file. Returns the length read, or a negative
 * errno. */
int64_t file_read_at(struct file *file, uint64_t offset, void *buffer, size_t length);
void vfs_prepare_seal(void);

#endif
