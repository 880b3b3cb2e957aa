/* Urgent data of TCP: one byte beside the stream, and the place in the stream where it was sent. A
 * call reads up to that place, and the next one beyond it. */
#include "sockets/socket.h"

/* Sends the last byte as urgent, and the others before it. */
int64_t urgent_send(struct socket *socket, struct message *message, bool wait)
{
    uint8_t byte;
    const uint64_t length = message->data.left;
    int64_t sent = 0;
    if (length > 1) {
        message->data.left--;
        sent = stream_send(socket, message, wait);
        message->data.left++;
        if (sent < 0 || (uint64_t)sent < length - 1)
            return sent;
    }
    struct socket *peer = socket->peer;
    if (length == 0 || !peer || socket->out_shut)
        return stream_send(socket, message, wait);
    peer->mark = peer->bytes_read + peer->in.bytes;
    peer->urgent = URGENT_MARK;
    if (peer->options[KEPT_URGENT_INLINE])
        return sent + stream_send(socket, message, wait);
    if (!transfer_take(&message->data, &byte, 1))
        return -EFAULT;
    peer->urgent = URGENT_BYTE;
    peer->urgent_byte = byte;
    socket_changed(peer);
    return sent + 1;
}

int64_t urgent_receive(struct socket *socket, struct message *message)
{
    if (socket->urgent != URGENT_BYTE || !message->data.left)
        return -EINVAL;
    if (!transfer_put(&message->data, &socket->urgent_byte, 1))
        return -EFAULT;
    if (!(message->flags & MESSAGE_PEEK))
        socket->urgent = URGENT_MARK;
    message->had_flags |= MESSAGE_OUT_OF_BAND;
    return 1;
}

uint64_t urgent_limit(struct socket *socket, bool peek)
{
    if (socket->urgent == URGENT_NONE)
        return UINT64_MAX;
    if (socket->mark > socket->bytes_read)
        return socket->mark - socket->bytes_read;
    if (!peek)
        socket->urgent = URGENT_NONE;
    return UINT64_MAX;
}
