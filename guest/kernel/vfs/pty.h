/* /dev/ptmx, /dev/pts and /dev/tty, for device.c. */
#ifndef UDFVM_PTY_H
#define UDFVM_PTY_H

#include "vfs/file.h"

/* Opens the master of a new pair. */
struct file *pty_open_master(int flags, const char *path, int64_t *error);
/* Opens the slave that a path below /dev/pts names. */
struct file *pty_open_slave(const char *path, int flags, int64_t *error);
/* Opens the terminal that controls the process. */
struct file *pty_open_controlling(int flags, int64_t *error);
int64_t pty_status(const char *path, struct status *status);
int64_t pty_list(struct file *file, uint64_t position, emit_function *emit, void *sink);

#endif
