/* The files of /data, as the host's tree has them. For host_file.c only. */
#ifndef UDFVM_DATA_FILE_H
#define UDFVM_DATA_FILE_H

#include "vfs/file.h"

/* True if the path is /data, where there are data, or a file in it. */
bool data_has(const char *path);
/* Of paths for which that is true. */
void data_status(const char *path, struct status *status);
struct file *data_open(const char *path, int flags, int64_t *error);
void data_list(uint64_t base, uint64_t position, emit_function *emit, void *sink);
/* Emits the first entry of "/", which is that of /data, and moves the base and the position behind
 * it. Does nothing for other paths, and without data. Returns false if the sink is full. */
bool data_list_itself(const char *path, uint64_t *base, uint64_t *position, emit_function *emit,
                      void *sink);

#endif
