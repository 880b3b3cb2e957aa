/* Datagrams, and packets of sequences: each is received as a whole, or cut. */
#include "lib/string.h"
#include "sockets/socket.h"

#define MAX_UDP_4      65507u /* bytes of a datagram over IPv4 */
#define MAX_UDP_6      65527u
#define RESERVED_BYTES 32u  /* of a local socket's send buffer, as in Linux */
#define MAX_WAITING    512u /* packets for a local socket whose peer is not the sender */

/* ---- Where it goes ---- */

static int64_t connect_local(struct socket *socket, const struct address *to)
{
    int64_t error;
    struct socket *target = local_find(to, socket->type, &error);
    if (!target)
        return error;
    if (target->peer && target->peer != socket)
        return -EPERM;
    socket->peer = target;
    socket->peer_lost = false;
    socket->peer_name = target->name;
    socket->state = SOCKET_CONNECTED;
    return 0;
}

/* The address of no family ends the connection. */
int64_t datagram_connect(struct socket *socket, const struct address *to)
{
    if (to->family == FAMILY_NONE) {
        socket->peer = NULL;
        socket->peer_name.family = FAMILY_NONE;
        socket->state = SOCKET_NEW;
        return 0;
    }
    if (is_local(socket))
        return connect_local(socket, to);
    if (is_netlink(socket)) {
        socket->peer_name = *to;
        socket->state = SOCKET_CONNECTED;
        return 0;
    }
    struct address route = *to;
    int64_t error = internet_route(socket, &route);
    if (error == 0)
        error = internet_bind_anywhere(socket);
    if (error)
        return error;
    socket->name = internet_source(socket, &route);
    socket->peer_name = route;
    socket->state = SOCKET_CONNECTED;
    socket->error = 0;
    return 0;
}

static struct socket *named_target(const struct socket *socket, const struct address *name,
                                   int64_t *error)
{
    struct socket *target = local_find(name, socket->type, error);
    if (target && target->peer && target->peer != socket)
        *error = -EPERM;
    else if (target && target->in_shut)
        *error = -EPIPE;
    return *error ? NULL : target;
}

/* Finds where a local packet goes. Other threads may close that while this one waits, so each
 * attempt looks again. */
static struct socket *local_target(struct socket *socket, const struct message *message,
                                   int64_t *error)
{
    *error = 0;
    if (socket->out_shut)
        *error = -EPIPE;
    else if (socket->type == SOCKET_SEQUENCE)
        *error = socket->state == SOCKET_CONNECTED ? 0 : -ENOTCONN;
    else if (message->name.family) {
        return named_target(socket, &message->name, error);
    } else if (!socket->peer) {
        *error = socket->peer_lost ? -ECONNREFUSED : -ENOTCONN;
        socket->peer_lost = false;
    } else if (socket->peer->in_shut) {
        *error = -EPIPE;
    }
    return *error ? NULL : socket->peer;
}

static bool has_space(const struct socket *socket, const struct socket *target, uint64_t length)
{
    const uint64_t limit = (uint64_t)socket->options[KEPT_SEND_BUFFER];
    if (target->peer != socket && target->in.packets > MAX_WAITING)
        return false;
    return !target->in.first || target->in.memory + packet_memory(length) <= limit;
}

bool datagram_is_writable(const struct socket *socket)
{
    return !is_local(socket) || !socket->peer || has_space(socket, socket->peer, 0);
}

/* ---- Sending ---- */

static int64_t deliver(struct socket *target, const struct address *from, struct message *message)
{
    const uint32_t length = (uint32_t)message->data.left;
    struct packet *packet = packet_create(length);
    if (!packet)
        return -ENOBUFS;
    if (!transfer_take(&message->data, packet->data, length)) {
        packet_free(packet);
        return -EFAULT;
    }
    packet->end = length;
    packet->from = *from;
    packet->hops = message->hops;
    packet->traffic_class = message->traffic_class;
    packet->files = message->files;
    message->files = NULL;
    queue_add(&target->in, packet);
    socket_changed(target);
    return length;
}

struct sending {
    struct socket *socket;
    const struct message *message;
};

static bool can_send(void *argument)
{
    const struct sending *sending = argument;
    int64_t error;
    const bool lost = sending->socket->peer_lost;
    const struct socket *target = local_target(sending->socket, sending->message, &error);
    sending->socket->peer_lost = lost;
    return !target || has_space(sending->socket, target, sending->message->data.left);
}

static int64_t send_local(struct socket *socket, struct message *message, bool wait)
{
    int64_t error;
    struct sending sending = { socket, message };
    if (message->data.left + RESERVED_BYTES > (uint64_t)socket->options[KEPT_SEND_BUFFER])
        return -EMSGSIZE;
    if (!can_send(&sending) && !wait)
        return -EAGAIN;
    if (!block_until(can_send, &sending, socket_deadline(socket->send_timeout)))
        return interrupted() ? -EINTR : -EAGAIN;
    struct socket *target = local_target(socket, message, &error);
    return target ? deliver(target, &socket->name, message) : error;
}

/* Finds out where a datagram of UDP goes, and gives the socket a port. */
static int64_t route_udp(struct socket *socket, const struct message *message, struct address *to)
{
    *to = message->name.family ? message->name : socket->peer_name;
    if (!to->family)
        return -EDESTADDRREQ;
    if (!to->port)
        return -EINVAL;
    const int64_t error = internet_route(socket, to);
    if (error)
        return error;
    return message->data.left > (address_is_version_4(to) ? MAX_UDP_4 : MAX_UDP_6)
               ? -EMSGSIZE
               : internet_bind_anywhere(socket);
}

/* What the message does not say of its way, the socket's options do. */
static void complete_way(const struct socket *socket, bool version_4, struct message *message)
{
    if (!message->hops)
        message->hops = (uint8_t)socket->options[version_4 ? KEPT_HOPS : KEPT_HOPS_6];
    if (!message->traffic_class)
        message->traffic_class = (uint8_t)socket->options[version_4 ? KEPT_CLASS : KEPT_CLASS_6];
}

/* A datagram that nobody takes is an error of a connected socket, for its next call. One that the
 * receiver has no room for is lost. */
static int64_t send_udp(struct socket *socket, struct message *message)
{
    struct address to;
    const int64_t length = (int64_t)message->data.left, error = route_udp(socket, message, &to);
    if (error)
        return error;
    const struct address from = internet_source(socket, &to);
    struct socket *target = internet_find_receiver(socket->protocol, &to, &from);
    if (!target) {
        if (socket->state == SOCKET_CONNECTED)
            socket->error = ECONNREFUSED;
        socket_changed(socket);
        return length;
    }
    const uint64_t memory = target->in.memory + packet_memory((uint64_t)length);
    if (target->in_shut || memory > (uint64_t)target->options[KEPT_RECEIVE_BUFFER])
        return length;
    complete_way(socket, address_is_version_4(&to), message);
    return deliver(target, &from, message);
}

int64_t datagram_send(struct socket *socket, struct message *message, bool wait)
{
    if (socket->type == SOCKET_SEQUENCE)
        message->name.family = FAMILY_NONE;
    const int64_t error = is_local(socket) && socket->out_shut ? 0 : socket_take_error(socket);
    if (error)
        return error;
    if (is_local(socket))
        return send_local(socket, message, wait);
    return socket->out_shut ? -EPIPE : send_udp(socket, message);
}

/* ---- Receiving ---- */

static bool can_receive(void *argument)
{
    const struct socket *socket = argument;
    return socket->in.first || socket->in_shut || socket->error;
}

/* Those who wait for space in the queue. */
static void tell_senders(const struct socket *socket)
{
    for (struct socket *other = is_local(socket) ? all_sockets : NULL; other; other = other->next)
        if (other->peer == socket)
            socket_changed(other);
}

static int64_t copy_out(struct socket *socket, struct message *message)
{
    struct packet *packet = socket->in.first;
    const uint32_t length = packet->end - packet->start,
                   part = (uint32_t)minimum(message->data.left, length);
    const bool peek = message->flags & MESSAGE_PEEK;
    if (!transfer_put(&message->data, packet->data + packet->start, part))
        return -EFAULT;
    message->name = packet->from;
    message->hops = packet->hops;
    message->traffic_class = packet->traffic_class;
    message->files = peek ? passed_files_copy(packet->files) : packet->files;
    message->had_flags |= part < length ? MESSAGE_CUT : 0;
    if (socket->type == SOCKET_SEQUENCE)
        message->had_flags |= MESSAGE_END_OF_RECORD;
    if (!peek) {
        packet->files = NULL;
        queue_drop_first(&socket->in);
        tell_senders(socket);
    }
    return message->flags & MESSAGE_CUT ? length : part;
}

int64_t datagram_receive(struct socket *socket, struct message *message, bool wait)
{
    if (socket->type == SOCKET_SEQUENCE && socket->state != SOCKET_CONNECTED)
        return -ENOTCONN;
    if (!can_receive(socket) && !wait)
        return -EAGAIN;
    if (!block_until(can_receive, socket, socket_deadline(socket->receive_timeout)))
        return interrupted() ? -EINTR : -EAGAIN;
    /* Linux tells an error before the packets of a datagram socket. */
    const int64_t error = socket->error ? socket_take_error(socket) : 0;
    if (error)
        return error;
    return socket->in.first ? copy_out(socket, message) : 0;
}
