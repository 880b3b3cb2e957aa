/* System calls that name, connect and end sockets. */
#include "mm/user.h"
#include "sockets/socket.h"

static bool waits(const struct file *file)
{
    return !(file->flags & O_NONBLOCK);
}

SYSTEM_CALL(bind)
{
    int64_t result;
    struct address address;
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    struct socket *socket = socket_of(file);
    result = address_read(b, c, socket->family, &address);
    if (result == 0)
        result = is_local(socket)     ? local_bind(socket, &address)
                 : is_netlink(socket) ? netlink_bind(socket, &address)
                                      : internet_bind(socket, &address);
    file_put(file);
    return result;
}

SYSTEM_CALL(listen)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (file)
        result = connection_listen(socket_of(file), (int)b);
    file_put(file);
    return result;
}

/* Reads the address of connect(2), which may be one of no family. */
static int64_t read_target(const struct socket *socket, uint64_t from, uint64_t length,
                           struct address *address)
{
    if (length >= sizeof(uint16_t) && user_range_ok(from, sizeof(uint16_t)) &&
        *(const uint16_t *)from == FAMILY_NONE) {
        *address = (struct address){ .family = FAMILY_NONE };
        return has_connections(socket) && is_local(socket) ? -EINVAL : 0;
    }
    return address_read(from, length, socket->family, address);
}

/* Ends a connection of TCP with an error at the other end. */
static int64_t disconnect(struct socket *socket)
{
    if (socket->state == SOCKET_CONNECTED) {
        socket->lingers = true;
        socket->linger_seconds = 0;
        connection_close(socket);
    } else if (socket->state == SOCKET_LISTENING) {
        connection_shut(socket, true, true);
    }
    queue_clear(&socket->in);
    socket->peer = NULL;
    socket->peer_name.family = FAMILY_NONE;
    socket->state = SOCKET_NEW;
    socket->in_shut = socket->out_shut = socket->in_done = false;
    socket_changed(socket);
    return 0;
}

SYSTEM_CALL(connect)
{
    int64_t result;
    struct address address;
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    struct socket *socket = socket_of(file);
    result = read_target(socket, b, c, &address);
    if (result == 0)
        result = !has_connections(socket) ? datagram_connect(socket, &address)
                 : address.family == FAMILY_NONE
                     ? disconnect(socket)
                     : connection_connect(socket, &address, waits(file));
    file_put(file);
    return result;
}

/* A connection stays with its listener if it cannot get a descriptor. */
static int64_t accept(struct file *listener, uint64_t to, uint64_t length, int flags)
{
    int64_t result;
    if (!descriptor_is_left())
        return -EMFILE;
    struct socket *socket = connection_accept(socket_of(listener), waits(listener), &result);
    if (!socket)
        return result;
    result = to ? address_write(&socket->peer_name, socket->family, to, length) : 0;
    struct file *file = result ? NULL : socket_open(socket, flags);
    if (!file) {
        if (result)
            socket_destroy(socket);
        else
            connection_return(socket_of(listener), socket);
        return result ? result : -ENOMEM;
    }
    return descriptor_install(file, 0, flags & O_CLOEXEC);
}

static int64_t accept_at(uint64_t fd, uint64_t to, uint64_t length, uint64_t flags)
{
    int64_t result;
    if (flags & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC))
        return -EINVAL;
    struct file *file = socket_get(fd, &result);
    if (file)
        result = accept(file, to, length, (int)flags);
    file_put(file);
    return result;
}

SYSTEM_CALL(accept)
{
    return accept_at(a, b, c, 0);
}
SYSTEM_CALL(accept4)
{
    return accept_at(a, b, c, d);
}

/* How a socket is shut down: SHUT_RD, SHUT_WR or SHUT_RDWR. */
SYSTEM_CALL(shutdown)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    struct socket *socket = socket_of(file);
    if ((uint32_t)b > 2)
        result = -EINVAL;
    else if (!is_local(socket) && (socket->state == SOCKET_NEW || socket->state == SOCKET_FAILED ||
                                   (socket->in_shut && socket->out_shut)))
        result = -ENOTCONN;
    if (result == 0)
        connection_shut(socket, b != 1, b != 0);
    file_put(file);
    return result;
}

static int64_t tell_name(uint64_t fd, uint64_t to, uint64_t length, bool peer)
{
    int64_t result;
    struct file *file = socket_get(fd, &result);
    if (!file)
        return result;
    const struct socket *socket = socket_of(file);
    const bool connected = socket->state == SOCKET_CONNECTED &&
                           !(is_tcp(socket) && socket->in_shut && socket->out_shut);
    result = peer && !connected ? -ENOTCONN
                                : address_write(peer ? &socket->peer_name : &socket->name,
                                                socket->family, to, length);
    file_put(file);
    return result;
}

SYSTEM_CALL(getsockname)
{
    return tell_name(a, b, c, false);
}
SYSTEM_CALL(getpeername)
{
    return tell_name(a, b, c, true);
}
