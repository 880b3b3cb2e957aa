/* Control messages: files that a message passes, who sent it, and how a datagram came. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sockets/socket.h"

#include <linux/in.h>
#include <linux/in6.h>

enum { CONTROL_FILES = 1, CONTROL_CREDENTIALS = 2, LOOPBACK_INDEX = 1 };

struct control_header { /* struct cmsghdr */
    uint64_t length;
    int32_t level, type;
};

struct credentials { /* struct ucred */
    int32_t process;
    uint32_t user, group;
};

struct place_6 { /* struct in6_pktinfo */
    uint8_t host[16];
    int32_t interface;
};

static uint64_t aligned(uint64_t length)
{
    return (length + 7) & ~7ull;
}

/* ---- Reading ---- */

static int64_t read_files(uint64_t data, uint64_t length, struct passed_files **files)
{
    int64_t error;
    const unsigned count = (unsigned)(length / sizeof(int32_t)),
                   before = *files ? (*files)->count : 0;
    if (length % sizeof(int32_t) || count + before > MAX_PASSED_FILES)
        return -EINVAL;
    if (count == 0)
        return 0;
    struct passed_files *all = passed_files_create(before + count, &error);
    if (!all)
        return error;
    for (unsigned i = 0; i < before; i++) {
        all->files[i] = (*files)->files[i];
        all->files[i]->references++;
    }
    passed_files_free(*files);
    *files = all;
    for (unsigned i = 0; i < count; i++) {
        all->files[before + i] = file_get_named(((const int32_t *)data)[i]);
        if (!all->files[before + i])
            return -EBADF;
    }
    return 0;
}

/* There is one process and one user, so that nobody sends for another. */
static int64_t check_credentials(uint64_t data, uint64_t length)
{
    const struct credentials *credentials = (const struct credentials *)data;
    if (length != sizeof *credentials)
        return -EINVAL;
    return credentials->process == process_id() && credentials->user == 0 && credentials->group == 0
               ? 0
               : -EPERM;
}

/* How a datagram is to go, in place of the socket's options: -1 leaves it to those. */
static int64_t read_number(uint64_t data, uint64_t length, uint8_t *to)
{
    const int value = length == sizeof(int) ? *(const int *)data : -2;
    if (value < -1 || value > 255)
        return -EINVAL;
    *to = value < 0 ? 0 : (uint8_t)value;
    return 0;
}

/* Where from is not kept: there is one interface. */
static int64_t read_way_4(int type, uint64_t data, uint64_t length, struct message *message)
{
    switch (type) {
    case IP_PKTINFO:
        return length < sizeof(struct in_pktinfo) ? -EINVAL : 0;
    case IP_TTL:
        return read_number(data, length, &message->hops);
    case IP_TOS:
        return read_number(data, length, &message->traffic_class);
    default:
        return -EINVAL;
    }
}

static int64_t read_way_6(int type, uint64_t data, uint64_t length, struct message *message)
{
    switch (type) {
    case IPV6_PKTINFO:
        return length < sizeof(struct place_6) ? -EINVAL : 0;
    case IPV6_HOPLIMIT:
        return read_number(data, length, &message->hops);
    case IPV6_TCLASS:
        return read_number(data, length, &message->traffic_class);
    default:
        return -EINVAL;
    }
}

static int64_t read_one(const struct socket *socket, const struct control_header *header,
                        uint64_t data, struct message *message)
{
    const uint64_t length = header->length - sizeof *header;
    if (!is_local(socket) && header->level == LEVEL_IP6)
        return read_way_6(header->type, data, length, message);
    if (!is_local(socket) && header->level == LEVEL_IP)
        return read_way_4(header->type, data, length, message);
    if (header->level != LEVEL_SOCKET)
        return is_local(socket) ? 0 : -EINVAL;
    if (header->type != CONTROL_FILES && header->type != CONTROL_CREDENTIALS)
        return -EINVAL;
    if (!is_local(socket))
        return 0;
    return header->type == CONTROL_FILES ? read_files(data, length, &message->files)
                                         : check_credentials(data, length);
}

int64_t ancillary_read(const struct socket *socket, uint64_t control, uint64_t length,
                       struct message *message)
{
    if (!user_range_ok(control, length))
        return -EFAULT;
    int64_t error = 0;
    for (uint64_t at = 0; error == 0 && length - at >= sizeof(struct control_header);) {
        const struct control_header header = *(const struct control_header *)(control + at);
        if (header.length < sizeof header || header.length > length - at)
            return -EINVAL;
        error = read_one(socket, &header, control + at + sizeof header, message);
        at = minimum(at + aligned(header.length), length);
    }
    return error;
}

/* ---- Writing ---- */

/* What is left of the program's buffer. */
struct room {
    uint64_t at, left;
};

static void put(struct message *message, struct room *room, int level, int type, const void *data,
                size_t length)
{
    struct control_header header = { sizeof header + length, level, type };
    if (room->left < header.length)
        message->had_flags |= MESSAGE_CONTROL_CUT;
    if (room->left < sizeof header)
        return;
    const uint64_t used = minimum(aligned(header.length), room->left);
    header.length = minimum(header.length, room->left);
    memcpy((void *)room->at, &header, sizeof header);
    memcpy((void *)(room->at + sizeof header), data, header.length - sizeof header);
    room->at += used;
    room->left -= used;
}

static void put_way_4(const struct socket *socket, struct message *message, struct room *room)
{
    const int hops = message->hops;
    const struct in_pktinfo place = { .ipi_ifindex = LOOPBACK_INDEX,
                                      .ipi_spec_dst.s_addr = 0x0100007f,
                                      .ipi_addr.s_addr = 0x0100007f };
    if (socket->options[KEPT_TELL_PLACE])
        put(message, room, LEVEL_IP, IP_PKTINFO, &place, sizeof place);
    if (socket->options[KEPT_TELL_HOPS])
        put(message, room, LEVEL_IP, IP_TTL, &hops, sizeof hops);
    if (socket->options[KEPT_TELL_CLASS])
        put(message, room, LEVEL_IP, IP_TOS, &message->traffic_class, 1);
}

static void put_way_6(const struct socket *socket, struct message *message, struct room *room)
{
    const int hops = message->hops, traffic_class = message->traffic_class;
    const struct place_6 place = { { [15] = 1 }, LOOPBACK_INDEX };
    if (socket->options[KEPT_TELL_PLACE_6])
        put(message, room, LEVEL_IP6, IPV6_PKTINFO, &place, sizeof place);
    if (socket->options[KEPT_TELL_HOPS_6])
        put(message, room, LEVEL_IP6, IPV6_HOPLIMIT, &hops, sizeof hops);
    if (socket->options[KEPT_TELL_CLASS_6])
        put(message, room, LEVEL_IP6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
}

/* Gives the files descriptors. Those that do not fit are closed. */
static uint64_t write_files(struct message *message, uint64_t control, uint64_t capacity)
{
    const struct passed_files *files = message->files;
    struct control_header header = { sizeof header, LEVEL_SOCKET, CONTROL_FILES };
    const uint64_t room = capacity < sizeof header ? 0
                                                   : (capacity - sizeof header) / sizeof(int32_t);
    unsigned done = 0;
    for (; done < files->count && done < room; done++) {
        files->files[done]->references++;
        const int64_t fd = descriptor_install(files->files[done], 0,
                                              message->flags & MESSAGE_CLOSE_ON_EXEC);
        if (fd < 0)
            break;
        ((int32_t *)(control + sizeof header))[done] = (int32_t)fd;
    }
    if (done < files->count)
        message->had_flags |= MESSAGE_CONTROL_CUT;
    if (done == 0)
        return 0;
    header.length += done * sizeof(int32_t);
    memcpy((void *)control, &header, sizeof header);
    return minimum(aligned(header.length), capacity);
}

uint64_t ancillary_write(const struct socket *socket, struct message *message, uint64_t control,
                         uint64_t capacity)
{
    capacity = minimum(capacity, INT32_MAX);
    if (capacity && !user_range_ok(control, capacity))
        capacity = 0;
    struct room room = { control, capacity };
    const struct credentials credentials = { process_id(), 0, 0 };
    if (is_local(socket) && socket->options[KEPT_PASS_CREDENTIALS])
        put(message, &room, LEVEL_SOCKET, CONTROL_CREDENTIALS, &credentials, sizeof credentials);
    if (message->files)
        room.left -= write_files(message, room.at, room.left);
    if (socket->type == SOCKET_DATAGRAM && socket->family == FAMILY_INTERNET)
        put_way_4(socket, message, &room);
    if (socket->type == SOCKET_DATAGRAM && socket->family == FAMILY_INTERNET6)
        put_way_6(socket, message, &room);
    passed_files_free(message->files);
    message->files = NULL;
    return capacity - room.left;
}
