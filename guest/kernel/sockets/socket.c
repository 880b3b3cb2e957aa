/* Sockets as files, and the system calls that make, name and connect them. They connect threads of
 * this program: nothing that is sent leaves it. */
#include "sockets/socket.h"
#include "host/clock.h"
#include "host/seal_info.h"
#include "mm/alloc.h"
#include "mm/user.h"

enum { TYPE_MASK = 0xf };
#define FIRST_INODE (1ull << 22)

struct socket *all_sockets;
static uint64_t last_inode = FIRST_INODE;
static const struct file_operations socket_operations;

struct socket *socket_create(int family, int type, int protocol)
{
    struct socket *socket = kernel_alloc(sizeof *socket);
    if (!socket)
        return NULL;
    socket->family = family;
    socket->type = type;
    socket->protocol = protocol;
    socket->inode = ++last_inode;
    if (family == FAMILY_INTERNET)
        socket->name.host[10] = socket->name.host[11] = 0xff; /* any address of IPv4 */
    options_init(socket);
    socket->next = all_sockets;
    if (all_sockets)
        all_sockets->previous = socket;
    all_sockets = socket;
    return socket;
}

static void forget(const struct socket *socket)
{
    *(socket->previous ? &socket->previous->next : &all_sockets) = socket->next;
    if (socket->next)
        socket->next->previous = socket->previous;
    for (struct socket *other = all_sockets; other; other = other->next)
        if (other->peer == socket) {
            other->peer = NULL;
            other->peer_lost = true;
            socket_changed(other);
        }
}

void socket_destroy(struct socket *socket)
{
    connection_close(socket);
    forget(socket);
    queue_clear(&socket->in);
    kernel_free(socket);
}

int64_t socket_take_error(struct socket *socket)
{
    const int error = socket->error;
    socket->error = 0;
    return -error;
}

uint64_t socket_deadline(int64_t timeout)
{
    current->never_restarts = timeout != 0; /* signal(7) */
    return timeout ? monotonic_ns() + (uint64_t)timeout : NO_DEADLINE;
}

/* ---- Files ---- */

struct file *socket_get(uint64_t fd, int64_t *error)
{
    struct file *file = file_get((int)fd);
    *error = !file ? -EBADF : file->operations != &socket_operations ? -ENOTSOCK : 0;
    if (!*error)
        return file;
    file_put(file);
    return NULL;
}

static int64_t socket_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    return message_vectors(file, false, &(struct io_vector){ (uint64_t)buffer, length }, 1);
}

static int64_t socket_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return message_vectors(file, true, &(struct io_vector){ (uint64_t)buffer, length }, 1);
}

static int listener_events(const struct socket *listener)
{
    return (listener->first_pending ? EVENT_IN : 0) |
           (listener->in_shut ? EVENT_IN | EVENT_READ_END | EVENT_HANG_UP : 0);
}

static bool is_writable(const struct socket *socket)
{
    if (socket->state == SOCKET_CONNECTING)
        return false;
    return socket->out_shut ||
           (has_connections(socket) ? stream_is_writable(socket) : datagram_is_writable(socket));
}

static bool has_hung_up(const struct socket *socket)
{
    return (has_connections(socket) && socket->state == SOCKET_NEW) ||
           (socket->in_shut && socket->out_shut);
}

static int socket_events(struct file *file)
{
    const struct socket *socket = socket_of(file);
    if (socket->state == SOCKET_LISTENING)
        return listener_events(socket);
    return (socket->error ? EVENT_ERROR : 0) | (has_hung_up(socket) ? EVENT_HANG_UP : 0) |
           (socket->in_shut ? EVENT_IN | EVENT_READ_END : 0) | (socket->in.first ? EVENT_IN : 0) |
           (socket->urgent == URGENT_BYTE ? EVENT_PRIORITY : 0) |
           (is_writable(socket) ? EVENT_OUT : 0);
}

static uint64_t socket_activity(struct file *file)
{
    return socket_of(file)->activity;
}

static uint64_t socket_available(struct file *file)
{
    const struct socket *socket = socket_of(file);
    const struct packet *first = socket->in.first;
    if (socket->type != SOCKET_DATAGRAM)
        return socket->in.bytes;
    return first ? first->end - first->start : 0;
}

static void socket_status(struct file *file, struct status *status)
{
    *status = (struct status){
        .device = DEVICE_STREAMS,
        .inode = socket_of(file)->inode,
        .mode = S_IFSOCK | 0777,
        .links = 1,
    };
}

static void socket_release(struct file *file)
{
    socket_destroy(socket_of(file));
}

static const struct file_operations socket_operations = {
    .read = socket_read,
    .write = socket_write,
    .move_vectors = message_vectors,
    .control = socket_control,
    .status = socket_status,
    .events = socket_events,
    .activity = socket_activity,
    .available = socket_available,
    .release = socket_release,
};

struct file *socket_open(struct socket *socket, int flags)
{
    return file_create(&socket_operations, socket, O_RDWR | (flags & O_NONBLOCK), NULL);
}

/* ---- Making ---- */

static int64_t check_local(int type, int protocol)
{
    if (type != SOCKET_STREAM && type != SOCKET_DATAGRAM && type != SOCKET_SEQUENCE)
        return -ESOCKTNOSUPPORT;
    return protocol == 0 || protocol == FAMILY_LOCAL ? 0 : -EPROTONOSUPPORT;
}

/* Completes the protocol, too. */
static int64_t check_internet(int type, int *protocol)
{
    if (type != SOCKET_STREAM && type != SOCKET_DATAGRAM)
        return type != SOCKET_RAW ? -ESOCKTNOSUPPORT : *protocol ? -EPERM : -EPROTONOSUPPORT;
    const int own = type == SOCKET_STREAM ? PROTOCOL_TCP : PROTOCOL_UDP;
    if (*protocol == PROTOCOL_UDP_LITE && type == SOCKET_DATAGRAM)
        return 0;
    if (*protocol && *protocol != own)
        return -EPROTONOSUPPORT;
    *protocol = own;
    return 0;
}

static int64_t check_kind(int family, int type, int *protocol)
{
    if (family == FAMILY_LOCAL)
        return check_local(type, *protocol);
    if (family == FAMILY_INTERNET || family == FAMILY_INTERNET6)
        return check_internet(type, protocol);
    if (family == FAMILY_NETLINK && (type == SOCKET_RAW || type == SOCKET_DATAGRAM))
        return *protocol ? -EPROTONOSUPPORT : 0;
    count_unknown(SYS_socket); /* the build report has the request */
    return -EAFNOSUPPORT;
}

static struct file *make(int family, int type, int protocol, int flags, int64_t *error)
{
    struct socket *socket = socket_create(family, type, protocol);
    struct file *file = socket ? socket_open(socket, flags) : NULL;
    if (socket && !file)
        socket_destroy(socket);
    *error = file ? 0 : -ENOMEM;
    return file;
}

static int64_t check_flags(int flags)
{
    /* SOCK_NONBLOCK and SOCK_CLOEXEC equal these */
    return flags & ~(O_NONBLOCK | O_CLOEXEC) ? -EINVAL : 0;
}

SYSTEM_CALL(socket)
{
    int protocol = (int)c;
    const int type = (int)b & TYPE_MASK, flags = (int)b & ~TYPE_MASK;
    int64_t error = check_flags(flags);
    if (error == 0)
        error = check_kind((int)a, type, &protocol);
    const bool raw = type == SOCKET_RAW; /* of netlink, which has datagrams */
    struct file *file = error ? NULL
                              : make((int)a, raw ? SOCKET_DATAGRAM : type, protocol, flags, &error);
    return file ? descriptor_install(file, 0, flags & O_CLOEXEC) : error;
}

static int64_t make_pair(int type, int flags, uint64_t descriptors)
{
    int64_t error;
    struct file *one = make(FAMILY_LOCAL, type, 0, flags, &error),
                *other = one ? make(FAMILY_LOCAL, type, 0, flags, &error) : NULL;
    if (!other) {
        file_put(one);
        return error;
    }
    connection_pair(socket_of(one), socket_of(other));
    return descriptors_install_pair(one, other, descriptors, flags & O_CLOEXEC);
}

SYSTEM_CALL(socketpair)
{
    int protocol = (int)c;
    const int type = (int)b & TYPE_MASK, flags = (int)b & ~TYPE_MASK;
    int64_t error = check_flags(flags);
    if (error == 0)
        error = check_kind((int)a, type, &protocol);
    if (error)
        return error;
    if (a != FAMILY_LOCAL)
        return -EOPNOTSUPP;
    return user_range_ok(d, 2 * sizeof(int)) ? make_pair(type, flags, d) : -EFAULT;
}
