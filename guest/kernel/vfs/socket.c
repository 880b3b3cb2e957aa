/* System calls of connected pairs of local sockets, the only sockets of this kernel. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/pipe.h"

#include <linux/socket.h>

enum { FAMILY_UNIX = 1, TYPE_STREAM = 1, TYPE_MASK = 0xf };
enum {
    MESSAGE_PEEK = 0x2,
    MESSAGE_NO_WAIT = 0x40,
    MESSAGE_WAIT_ALL = 0x100,
    MESSAGE_OTHERS = 0x40004000
}; /* NOSIGNAL, CMSG_CLOEXEC */
enum {
    LEVEL_SOCKET = 1,
    OPTION_TYPE = 3,
    OPTION_SEND_BUFFER = 7,
    OPTION_RECEIVE_BUFFER = 8,
    OPTION_DOMAIN = 39
};
#define BUFFER_SIZE 65536

struct socket_message {
    uint64_t name;
    uint32_t name_length;
    uint64_t vectors, count, control, control_length;
    int flags;
};

static struct file *get_socket(uint64_t fd, int64_t *error)
{
    struct file *file = file_get((int)fd);
    *error = !file ? -EBADF : !file->operations->socket ? -ENOTSOCK : 0;
    if (!*error)
        return file;
    file_put(file);
    return NULL;
}

SYSTEM_CALL(socketpair)
{
    const int type = (int)b & TYPE_MASK, flags = (int)b & ~TYPE_MASK;
    if (a != FAMILY_UNIX)
        return -EAFNOSUPPORT;
    if (type != TYPE_STREAM)
        return -ESOCKTNOSUPPORT;
    if (flags & ~(O_NONBLOCK | O_CLOEXEC)) /* SOCK_NONBLOCK and SOCK_CLOEXEC equal these */
        return -EINVAL;
    return c ? -EPROTONOSUPPORT : stream_pair(true, d, flags);
}

SYSTEM_CALL(shutdown)
{
    int64_t error;
    struct file *file = get_socket(a, &error);
    if (!file)
        return error;
    if (b <= 2)
        stream_shutdown(file, b != 1, b != 0); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
    file_put(file);
    return b <= 2 ? 0 : -EINVAL;
}

static unsigned how_of(const struct file *file, uint64_t flags)
{
    return ((file->flags & O_NONBLOCK) || (flags & MESSAGE_NO_WAIT) ? 0 : STREAM_WAIT) |
           (flags & MESSAGE_PEEK ? STREAM_PEEK : 0);
}

/* Part by part; waits for the first byte only, unless all was asked for. */
static int64_t receive_vectors(struct file *file, const struct io_vector *vectors, uint64_t count,
                               uint64_t flags)
{
    int64_t total = 0;
    unsigned how = how_of(file, flags);
    for (uint64_t i = 0; i < count; i++)
        for (uint64_t done = 0; done < vectors[i].length;) {
            int64_t got = stream_receive(file, (void *)(vectors[i].base + done),
                                         vectors[i].length - done, how);
            if (got <= 0)
                return total ? total : got;
            total += got;
            done += (uint64_t)got;
            if (how & STREAM_PEEK)
                return total;
            if (!(flags & MESSAGE_WAIT_ALL))
                how &= ~(unsigned)STREAM_WAIT;
        }
    return total;
}

static int64_t send_vectors(struct file *file, const struct io_vector *vectors, uint64_t count,
                            uint64_t flags)
{
    int64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        int64_t sent = stream_send(file, (const void *)vectors[i].base, vectors[i].length,
                                   how_of(file, flags));
        if (sent < 0)
            return total ? total : sent;
        total += sent;
        if ((uint64_t)sent < vectors[i].length)
            break;
    }
    return total;
}

static int64_t transfer(uint64_t fd, bool send, const struct io_vector *vectors, uint64_t count,
                        uint64_t flags)
{
    int64_t error;
    const uint64_t known = MESSAGE_PEEK | MESSAGE_NO_WAIT | MESSAGE_WAIT_ALL | MESSAGE_OTHERS;
    struct file *file = get_socket(fd, &error);
    if (!file)
        return error;
    int64_t result = flags & ~known ? -EOPNOTSUPP : 0;
    for (uint64_t i = 0; result == 0 && i < count; i++)
        if (vectors[i].length && !user_range_ok(vectors[i].base, vectors[i].length))
            result = -EFAULT;
    if (result == 0)
        result = (send ? send_vectors : receive_vectors)(file, vectors, count, flags);
    file_put(file);
    return result;
}

SYSTEM_CALL(sendto)
{
    return e ? -EISCONN : transfer(a, true, &(struct io_vector){ b, c }, 1, d);
}

SYSTEM_CALL(recvfrom)
{
    if (e && f && !user_range_ok(f, sizeof(int)))
        return -EFAULT;
    int64_t result = transfer(a, false, &(struct io_vector){ b, c }, 1, d);
    if (result >= 0 && e && f)
        *(int *)f = 0; /* an unnamed address has length 0 */
    return result;
}

/* Of the message, what the program gives is copied; its vectors are used where they are. */
static int64_t get_message(uint64_t address, struct socket_message *message)
{
    if (!user_range_ok(address, sizeof *message))
        return -EFAULT;
    memcpy(message, (const void *)address, sizeof *message);
    if (message->count > MAX_IO_VECTORS)
        return -EMSGSIZE;
    return message->count &&
                   !user_range_ok(message->vectors, message->count * sizeof(struct io_vector))
               ? -EFAULT
               : 0;
}

SYSTEM_CALL(sendmsg)
{
    struct socket_message message;
    int64_t error = get_message(b, &message);
    if (error)
        return error;
    if (message.control_length)
        return -EOPNOTSUPP; /* there is one process, so descriptors cannot be passed */
    return message.name
               ? -EISCONN
               : transfer(a, true, (const struct io_vector *)message.vectors, message.count, c);
}

SYSTEM_CALL(recvmsg)
{
    struct socket_message message;
    int64_t result = get_message(b, &message);
    if (result == 0)
        result = transfer(a, false, (const struct io_vector *)message.vectors, message.count, c);
    if (result >= 0) {
        struct socket_message *back = (struct socket_message *)b;
        back->name_length = 0;
        back->control_length = 0;
        back->flags = 0;
    }
    return result;
}

static int64_t give(uint64_t value, uint64_t value_length, const void *from, uint32_t length)
{
    if (!user_range_ok(value_length, sizeof(uint32_t)))
        return -EFAULT;
    const uint32_t capacity = *(const uint32_t *)value_length,
                   part = (uint32_t)minimum(capacity, length);
    if (capacity > INT32_MAX)
        return -EINVAL;
    if (part && !user_range_ok(value, part))
        return -EFAULT;
    memcpy((void *)value, from, part);
    *(uint32_t *)value_length = length;
    return 0;
}

SYSTEM_CALL(getsockopt)
{
    int64_t error;
    struct file *file = get_socket(a, &error);
    file_put(file);
    if (error)
        return error;
    if (b != LEVEL_SOCKET)
        return -EOPNOTSUPP;
    const int value = c == OPTION_TYPE || c == OPTION_DOMAIN                  ? 1
                      : c == OPTION_SEND_BUFFER || c == OPTION_RECEIVE_BUFFER ? BUFFER_SIZE
                                                                              : 0;
    return give(d, e, &value, sizeof value);
}

SYSTEM_CALL(setsockopt)
{
    int64_t error;
    file_put(get_socket(a, &error));
    return error; /* setting sizes of buffers, or timeouts, has no effect */
}

/* Neither end of a pair has a name. */
SYSTEM_CALL(getsockname)
{
    int64_t error;
    const uint16_t family = FAMILY_UNIX;
    file_put(get_socket(a, &error));
    return error ? error : give(b, c, &family, sizeof family);
}
SYSTEM_CALL_ALIAS(getpeername, getsockname);
