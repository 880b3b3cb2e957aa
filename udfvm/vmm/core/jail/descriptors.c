/* Descriptors that go from process to process. */
#include "jail/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "jail/protocol.h"

/* Room for the header, aligned as it wants: cmsg(3). */
union rights {
    char bytes[CMSG_SPACE(MAX_JAIL_FILES * sizeof(int))];
    struct cmsghdr aligned;
};

bool udfvm_send_files(int socket, void *data, size_t length, const int *files, size_t count)
{
    union rights rights = { .bytes = { 0 } };
    struct iovec part = { .iov_base = data, .iov_len = length };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count) {
        message.msg_control = rights.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), files, count * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)length;
}

/* Those that there is no room for, and those of a message that is not one, are closed. */
static size_t take_files(struct msghdr *message, int *files, size_t capacity)
{
    size_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int file;
            memcpy(&file, CMSG_DATA(header) + i * sizeof file, sizeof file);
            if (count < capacity)
                files[count++] = file;
            else
                close(file);
        }
    }
    return count;
}

long udfvm_receive_files(int socket, void *data, size_t length, int *files, size_t *count)
{
    union rights rights;
    struct iovec part = { .iov_base = data, .iov_len = length };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = rights.bytes,
                              .msg_controllen = sizeof rights.bytes };
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    *count = got < 0 ? 0 : take_files(&message, files, *count);
    if (got <= 0 || (got == (ssize_t)length && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))))
        return got;
    for (size_t i = 0; i < *count; i++)
        close(files[i]);
    *count = 0;
    return -1;
}
