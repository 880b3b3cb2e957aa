/* Byte streams in memory, which pipe.c implements and socket.c uses. */
#ifndef UDFVM_PIPE_H
#define UDFVM_PIPE_H

#include "vfs/file.h"

enum { STREAM_WAIT = 1, STREAM_PEEK = 2 };

/* Creates a pipe, or a pair of connected sockets. Writes two descriptors to the program's
 * memory. */
int64_t stream_pair(bool sockets, uint64_t descriptors, int flags);
/* `how` has STREAM_ bits. Returns -EAGAIN if it would have to wait and must not. */
int64_t stream_receive(struct file *file, void *buffer, uint64_t length, unsigned how);
int64_t stream_send(struct file *file, const void *buffer, uint64_t length, unsigned how);
void stream_shutdown(struct file *file, bool reading, bool writing);

#endif
