/* System calls that send and receive messages. */
#include "host/clock.h"
#include "lib/string.h"
#include "mm/user.h"
#include "signal/signal.h"
#include "sockets/socket.h"
#include "vfs/poll.h"

#define MAX_CONTROL 131072u /* bytes of control messages, as in Linux */

struct program_message { /* struct msghdr */
    uint64_t name;
    uint32_t name_length;
    uint64_t vectors, count, control, control_length;
    uint32_t flags;
};

struct program_message_and_length { /* struct mmsghdr */
    struct program_message message;
    uint32_t length;
};

/* ---- The move itself ---- */

static int64_t send(struct socket *socket, struct message *message, bool wait)
{
    const bool urgent = message->flags & MESSAGE_OUT_OF_BAND;
    if (urgent && !is_tcp(socket))
        return -EOPNOTSUPP;
    if (is_netlink(socket))
        return netlink_send(socket, message);
    const int64_t result = urgent                          ? urgent_send(socket, message, wait)
                           : socket->type == SOCKET_STREAM ? stream_send(socket, message, wait)
                                                           : datagram_send(socket, message, wait);
    if (result == -EPIPE && socket->type == SOCKET_STREAM && !(message->flags & MESSAGE_NO_SIGNAL))
        signal_raise(SIGPIPE);
    return result;
}

static int64_t receive(struct socket *socket, struct message *message, bool wait)
{
    if (message->flags & MESSAGE_OUT_OF_BAND)
        return is_tcp(socket) ? urgent_receive(socket, message) : -EOPNOTSUPP;
    if (message->flags & MESSAGE_ERRORS)
        return -EAGAIN;
    return socket->type == SOCKET_STREAM ? stream_receive(socket, message, wait)
                                         : datagram_receive(socket, message, wait);
}

int64_t message_move(struct file *file, struct message *message, bool to_send)
{
    struct socket *socket = socket_of(file);
    const bool wait = !(file->flags & O_NONBLOCK) && !(message->flags & MESSAGE_NO_WAIT);
    return (to_send ? send : receive)(socket, message, wait);
}

int64_t message_vectors(struct file *file, bool to_send, const struct io_vector *vectors,
                        uint64_t count)
{
    struct message message = { .flags = 0 };
    int64_t result = transfer_begin(&message.data, vectors, count);
    if (result == 0)
        result = message_move(file, &message, to_send);
    passed_files_free(message.files);
    return result;
}

/* ---- sendto(2), recvfrom(2) ---- */

SYSTEM_CALL(sendto)
{
    int64_t result;
    const struct io_vector vector = { b, c };
    struct message message = { .flags = (unsigned)d };
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    if (e)
        result = address_read(e, f, socket_of(file)->family, &message.name);
    if (result == 0)
        result = transfer_begin(&message.data, &vector, 1);
    if (result == 0)
        result = message_move(file, &message, true);
    file_put(file);
    return result;
}

/* A message without a sender's address has one of length 0. */
static int64_t give_name(const struct socket *socket, const struct message *message, uint64_t to,
                         uint64_t length)
{
    if (message->name.family)
        return address_write(&message->name, socket->family, to, length);
    if (!user_range_ok(length, sizeof(uint32_t)))
        return -EFAULT;
    *(uint32_t *)length = 0;
    return 0;
}

SYSTEM_CALL(recvfrom)
{
    int64_t result;
    const struct io_vector vector = { b, c };
    struct message message = { .flags = (unsigned)d };
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    result = transfer_begin(&message.data, &vector, 1);
    if (result == 0)
        result = message_move(file, &message, false);
    passed_files_free(message.files);
    if (result >= 0 && e) {
        const int64_t error = give_name(socket_of(file), &message, e, f);
        result = error ? error : result;
    }
    file_put(file);
    return result;
}

/* ---- sendmsg(2), recvmsg(2) ---- */

static int64_t get_message(uint64_t address, struct program_message *message)
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

static int64_t send_message(struct file *file, uint64_t address, unsigned flags)
{
    struct program_message from;
    struct message message = { .flags = flags };
    const struct socket *socket = socket_of(file);
    int64_t result = get_message(address, &from);
    if (result == 0)
        result = transfer_begin(&message.data, (const struct io_vector *)from.vectors, from.count);
    if (result == 0 && from.name && from.name_length)
        result = address_read(from.name, minimum(from.name_length, ADDRESS_BYTES), socket->family,
                              &message.name);
    if (result == 0 && from.control_length > MAX_CONTROL)
        result = -ENOBUFS;
    if (result == 0 && from.control && from.control_length)
        result = ancillary_read(socket, from.control, from.control_length, &message);
    if (result == 0)
        result = message_move(file, &message, true);
    passed_files_free(message.files);
    return result;
}

static int64_t give_message(const struct socket *socket, struct message *message,
                            const struct program_message *to, uint64_t address)
{
    struct program_message *back = (struct program_message *)address;
    const uint64_t length = (uint64_t)&back->name_length;
    int64_t error = 0;
    if (to->name)
        error = give_name(socket, message, to->name, length);
    if (error == 0) {
        const uint64_t used = ancillary_write(socket, message, to->control,
                                              to->control ? to->control_length : 0);
        back->control_length = used;
        back->flags = message->had_flags | (message->flags & MESSAGE_CLOSE_ON_EXEC);
    }
    return error;
}

static int64_t receive_message(struct file *file, uint64_t address, unsigned flags)
{
    struct program_message to;
    struct message message = { .flags = flags };
    int64_t result = get_message(address, &to);
    if (result == 0)
        result = transfer_begin(&message.data, (const struct io_vector *)to.vectors, to.count);
    if (result == 0)
        result = message_move(file, &message, false);
    if (result >= 0) {
        const int64_t error = give_message(socket_of(file), &message, &to, address);
        result = error ? error : result;
    }
    passed_files_free(message.files);
    return result;
}

SYSTEM_CALL(sendmsg)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (file)
        result = send_message(file, b, (unsigned)c);
    file_put(file);
    return result;
}

SYSTEM_CALL(recvmsg)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (file)
        result = receive_message(file, b, (unsigned)c);
    file_put(file);
    return result;
}

/* ---- sendmmsg(2), recvmmsg(2) ---- */

/* Moves messages until one fails. Returns their number, or the error of the first. */
static int64_t move_many(struct file *file, bool to_send, uint64_t address, uint64_t count,
                         unsigned flags, uint64_t deadline)
{
    int64_t done = 0;
    count = minimum(count, MAX_IO_VECTORS);
    while ((uint64_t)done < count) {
        const uint64_t at = address + (uint64_t)done * sizeof(struct program_message_and_length);
        if (!user_range_ok(at, sizeof(struct program_message_and_length)))
            return done ? done : -EFAULT;
        const int64_t result = (to_send ? send_message : receive_message)(file, at, flags);
        if (result < 0)
            return done ? done : result;
        ((struct program_message_and_length *)at)->length = (uint32_t)result;
        done++;
        if (flags & MESSAGE_WAIT_FOR_ONE)
            flags |= MESSAGE_NO_WAIT;
        if (deadline != NO_DEADLINE && monotonic_ns() >= deadline)
            break;
    }
    return done;
}

SYSTEM_CALL(sendmmsg)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (file)
        result = move_many(file, true, b, (uint32_t)c, (unsigned)d & ~MESSAGE_WAIT_FOR_ONE,
                           NO_DEADLINE);
    file_put(file);
    return result;
}

/* As in Linux, the timeout is looked at after each message only. */
SYSTEM_CALL(recvmmsg)
{
    int64_t result;
    uint64_t deadline;
    struct file *file = socket_get(a, &result);
    if (file)
        result = deadline_from_program(e, 1, &deadline);
    if (file && result == 0)
        result = move_many(file, false, b, (uint32_t)c, (unsigned)d, deadline);
    file_put(file);
    return result;
}
