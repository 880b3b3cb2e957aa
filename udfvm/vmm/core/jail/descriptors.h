/* Descriptors that go from process to process: unix(7), SCM_RIGHTS. */
#ifndef UDFVM_JAIL_DESCRIPTORS_H
#define UDFVM_JAIL_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

/* One message of `length` bytes, with descriptors, which stay open here. */
bool udfvm_send_files(int socket, void *data, size_t length, const int *files, size_t count);
/* Receives one of just so many bytes and at most `*count` descriptors, which are close-on-exec. The
 * number of bytes; 0: the other end is closed; -1: a failure, or another message. */
long udfvm_receive_files(int socket, void *data, size_t length, int *files, size_t *count);

#endif
