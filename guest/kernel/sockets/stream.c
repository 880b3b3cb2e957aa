/* Bytes of connections. Each end has a queue of what the other end sent. */
#include "sockets/socket.h"

#define SMALL_CAPACITY 384u
#define LARGE_CAPACITY 8000u /* with the packet and the header of the heap, a block of 8 KiB */

/* ---- Sending ---- */

uint64_t stream_space(const struct socket *socket)
{
    const struct socket *peer = socket->peer;
    if (!peer)
        return UINT64_MAX; /* what is sent is lost */
    uint64_t limit = (uint64_t)socket->options[KEPT_SEND_BUFFER];
    if (!is_local(socket))
        limit += (uint64_t)peer->options[KEPT_RECEIVE_BUFFER];
    return limit - minimum(limit, peer->in.memory);
}

bool stream_is_writable(const struct socket *socket)
{
    return !socket->peer || stream_space(socket) > socket->peer->in.memory;
}

static bool can_send(void *argument)
{
    const struct socket *socket = argument;
    return socket->out_shut || socket->error ||
           (socket->state != SOCKET_CONNECTING && stream_space(socket));
}

/* Returns 0 once there is space, or a negative errno. */
static int64_t await_space(struct socket *socket, bool wait)
{
    if (!can_send(socket) && !wait)
        return -EAGAIN;
    if (!block_until(can_send, socket, socket_deadline(socket->send_timeout)))
        return interrupted() ? -EINTR : -EAGAIN;
    if (socket->out_shut && is_local(socket))
        return -EPIPE;
    const int64_t error = socket_take_error(socket);
    return error ? error : socket->out_shut ? -EPIPE : 0;
}

/* Sends to an end that was closed, which answers with an error. */
static int64_t send_into_the_void(struct socket *socket, struct message *message)
{
    const uint64_t length = message->data.left;
    socket->error = EPIPE;
    socket->in_shut = socket->out_shut = true;
    socket_changed(socket);
    return (int64_t)length;
}

/* Adds to the last packet of the peer's queue, or a new one. Returns the number of bytes. */
static int64_t append(struct socket *peer, struct message *message, uint64_t space)
{
    struct packet *last = peer->in.last;
    const bool fits = last && !last->files && !message->files && last->end < last->capacity;
    const uint64_t wanted = minimum(message->data.left, space);
    struct packet *packet = fits ? last
                                 : packet_create(wanted <= SMALL_CAPACITY ? SMALL_CAPACITY
                                                                          : LARGE_CAPACITY);
    if (!packet)
        return -ENOMEM;
    const uint32_t part = (uint32_t)minimum(wanted, packet->capacity - packet->end);
    if (!transfer_take(&message->data, packet->data + packet->end, part)) {
        if (!fits)
            packet_free(packet);
        return -EFAULT;
    }
    packet->end += part;
    if (fits) {
        peer->in.bytes += part;
    } else {
        packet->files = message->files;
        message->files = NULL;
        queue_add(&peer->in, packet);
    }
    socket_changed(peer);
    return part;
}

static int64_t check_send(const struct socket *socket, const struct message *message)
{
    const bool connected = socket->state == SOCKET_CONNECTED;
    if (is_local(socket) && message->name.family)
        return connected ? -EISCONN : -EOPNOTSUPP;
    if (connected || socket->state == SOCKET_CONNECTING || socket->error)
        return 0;
    return is_local(socket) ? -ENOTCONN : -EPIPE;
}

int64_t stream_send(struct socket *socket, struct message *message, bool wait)
{
    int64_t total = 0, result = check_send(socket, message);
    while (result >= 0 && (message->data.left || total == 0)) {
        result = await_space(socket, wait);
        if (result || !message->data.left)
            break;
        result = socket->peer ? append(socket->peer, message, stream_space(socket))
                              : send_into_the_void(socket, message);
        total += result > 0 ? result : 0;
        if (!socket->peer)
            break;
    }
    return total ? total : result;
}

/* ---- Receiving ---- */

static bool can_receive(void *argument)
{
    const struct socket *socket = argument;
    return socket->in.first || socket->in_shut || socket->error;
}

/* Returns 0 once something can be read, 1 at the end of the stream, or a negative errno. */
static int64_t await_bytes(struct socket *socket, bool wait)
{
    if (!can_receive(socket) && !wait)
        return -EAGAIN;
    if (!block_until(can_receive, socket, socket_deadline(socket->receive_timeout)))
        return interrupted() ? -EINTR : -EAGAIN;
    if (socket->in.first)
        return 0;
    if (socket->in_done)
        return 1;
    const int64_t error = socket_take_error(socket);
    return error ? error : 1;
}

/* Takes bytes of the first packet, or drops it if all were taken. */
static void consume(struct socket *socket, uint32_t part)
{
    struct packet *packet = socket->in.first;
    const bool was_full = socket->peer && !stream_is_writable(socket->peer);
    packet->start += part;
    socket->in.bytes -= part;
    socket->bytes_read += part;
    if (packet->start == packet->end)
        queue_drop_first(&socket->in);
    if (was_full && socket->peer && stream_is_writable(socket->peer))
        socket_changed(socket->peer);
}

/* Copies what is there. A packet that passes files is the last that a call reads of. */
static int64_t copy_out(struct socket *socket, struct message *message, bool *stop)
{
    const bool peek = message->flags & MESSAGE_PEEK;
    uint64_t most = urgent_limit(socket, peek);
    int64_t total = 0;
    struct packet *packet = socket->in.first;
    while (packet && message->data.left && !*stop) {
        struct packet *next = packet->next;
        const uint32_t part = (uint32_t)minimum(minimum(message->data.left, most),
                                                packet->end - packet->start);
        if (!transfer_put(&message->data, packet->data + packet->start, part))
            return total ? total : -EFAULT;
        if (packet->files) {
            message->files = peek ? passed_files_copy(packet->files) : packet->files;
            packet->files = peek ? packet->files : NULL;
            *stop = true;
        }
        total += part;
        most -= part;
        *stop |= most == 0;
        if (!peek)
            consume(socket, part);
        packet = next;
    }
    return total;
}

static int64_t check_receive(const struct socket *socket)
{
    if (socket->state == SOCKET_CONNECTED || socket->state == SOCKET_CONNECTING || socket->error ||
        socket->in_shut)
        return 0;
    return is_local(socket) ? -EINVAL : -ENOTCONN;
}

int64_t stream_receive(struct socket *socket, struct message *message, bool wait)
{
    int64_t total = 0, result = check_receive(socket);
    bool stop = false;
    while (result == 0 && message->data.left && !stop) {
        if (total && !(message->flags & MESSAGE_WAIT_ALL))
            break;
        result = await_bytes(socket, wait);
        if (result)
            break;
        const int64_t got = copy_out(socket, message, &stop);
        if (got < 0)
            return total ? total : got;
        total += got;
        stop |= (message->flags & MESSAGE_PEEK) != 0;
    }
    return total || result > 0 ? total : result;
}
