/* The virtual file system, as the rest of the kernel sees it.
 *
 * One tree: memory file systems at a few mount points, generated files under /proc, /sys and /dev,
 * and below all that the host's read-only files, which arrive by hypercall. What is in memory hides
 * what the host has under the same name.
 */
#ifndef UDFVM_VFS_H
#define UDFVM_VFS_H

#include "kernel.h"

struct file;

void vfs_init(void);
/* Opens by absolute path. NULL: *error is a negative errno. */
struct file *vfs_open(const char *path, int flags, int mode, int64_t *error);
struct file *file_get(int fd);    /* one more reference; NULL: EBADF */
void file_put(struct file *file); /* NULL is allowed */
int64_t vfs_read_at(struct file *file, uint64_t offset, void *buffer,
                    size_t length); /* all of it, or up to the end of the file */
uint64_t vfs_size(struct file *file);
const char *vfs_path(struct file *file); /* NULL for files without a name */
bool vfs_is_constant(struct file *file); /* its contents never change */
void vfs_prepare_seal(void);
void vfs_flush(void); /* sends buffered output of the program to the host's log */

#endif
