/* Options of sockets. Most are kept and told, and change nothing on a way of no length. */
#include "host/call.h"
#include "lib/string.h"
#include "mm/user.h"
#include "sockets/socket.h"

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <asm/socket.h>

#define LARGEST_BUFFER  212992 /* net.core.rmem_max and wmem_max, before Linux doubles it */
#define SMALLEST_SENT   4608
#define SMALLEST_QUEUED 2304
#define TCP_SENT        2626560 /* as Linux tells of a connection in one machine */
#define TCP_QUEUED      131072

enum kinds { KIND_FLAG, KIND_NUMBER, KIND_SENT, KIND_QUEUED };

static const struct option {
    uint8_t level, name, kind;
    int initial, least, most;
} options[] = {
    [KEPT_REUSE_ADDRESS] = { LEVEL_SOCKET, SO_REUSEADDR, KIND_FLAG, 0, 0, 0 },
    [KEPT_REUSE_PORT] = { LEVEL_SOCKET, SO_REUSEPORT, KIND_FLAG, 0, 0, 0 },
    [KEPT_SEND_BUFFER] = { LEVEL_SOCKET, SO_SNDBUF, KIND_SENT, LARGEST_BUFFER, 0, 0 },
    [KEPT_RECEIVE_BUFFER] = { LEVEL_SOCKET, SO_RCVBUF, KIND_QUEUED, LARGEST_BUFFER, 0, 0 },
    [KEPT_PASS_CREDENTIALS] = { LEVEL_SOCKET, SO_PASSCRED, KIND_FLAG, 0, 0, 0 },
    [KEPT_ONLY_6] = { LEVEL_IP6, IPV6_V6ONLY, KIND_FLAG, 0, 0, 0 },
    [KEPT_HOPS] = { LEVEL_IP, IP_TTL, KIND_NUMBER, 64, 1, 255 },
    [KEPT_HOPS_6] = { LEVEL_IP6, IPV6_UNICAST_HOPS, KIND_NUMBER, 64, 0, 255 },
    [KEPT_CLASS] = { LEVEL_IP, IP_TOS, KIND_NUMBER, 0, 0, 255 },
    [KEPT_CLASS_6] = { LEVEL_IP6, IPV6_TCLASS, KIND_NUMBER, 0, 0, 255 },
    [KEPT_TELL_HOPS] = { LEVEL_IP, IP_RECVTTL, KIND_FLAG, 0, 0, 0 },
    [KEPT_TELL_HOPS_6] = { LEVEL_IP6, IPV6_RECVHOPLIMIT, KIND_FLAG, 0, 0, 0 },
    [KEPT_TELL_CLASS] = { LEVEL_IP, IP_RECVTOS, KIND_FLAG, 0, 0, 0 },
    [KEPT_TELL_CLASS_6] = { LEVEL_IP6, IPV6_RECVTCLASS, KIND_FLAG, 0, 0, 0 },
    [KEPT_TELL_PLACE] = { LEVEL_IP, IP_PKTINFO, KIND_FLAG, 0, 0, 0 },
    [KEPT_TELL_PLACE_6] = { LEVEL_IP6, IPV6_RECVPKTINFO, KIND_FLAG, 0, 0, 0 },
    [KEPT_URGENT_INLINE] = { LEVEL_SOCKET, SO_OOBINLINE, KIND_FLAG, 0, 0, 0 },
    { LEVEL_SOCKET, SO_DONTROUTE, KIND_FLAG, 0, 0, 0 },
    { LEVEL_SOCKET, SO_BROADCAST, KIND_FLAG, 0, 0, 0 },
    { LEVEL_SOCKET, SO_KEEPALIVE, KIND_FLAG, 0, 0, 0 },
    { LEVEL_SOCKET, SO_NO_CHECK, KIND_FLAG, 0, 0, 0 },
    { LEVEL_SOCKET, SO_PRIORITY, KIND_NUMBER, 0, 0, 6 },
    { LEVEL_SOCKET, SO_RCVLOWAT, KIND_NUMBER, 1, 0, INT32_MAX },
    { LEVEL_TCP, TCP_NODELAY, KIND_FLAG, 0, 0, 0 },
    { LEVEL_TCP, TCP_MAXSEG, KIND_NUMBER, 65483, 88, 65535 },
    { LEVEL_TCP, TCP_CORK, KIND_FLAG, 0, 0, 0 },
    { LEVEL_TCP, TCP_KEEPIDLE, KIND_NUMBER, 7200, 1, 32767 },
    { LEVEL_TCP, TCP_KEEPINTVL, KIND_NUMBER, 75, 1, 32767 },
    { LEVEL_TCP, TCP_KEEPCNT, KIND_NUMBER, 9, 1, 127 },
    { LEVEL_TCP, TCP_SYNCNT, KIND_NUMBER, 6, 1, 127 },
    { LEVEL_TCP, TCP_LINGER2, KIND_NUMBER, 60, -1, INT32_MAX },
    { LEVEL_TCP, TCP_DEFER_ACCEPT, KIND_NUMBER, 0, 0, INT32_MAX },
    { LEVEL_TCP, TCP_QUICKACK, KIND_FLAG, 1, 0, 0 },
    { LEVEL_TCP, TCP_USER_TIMEOUT, KIND_NUMBER, 0, 0, INT32_MAX },
    { LEVEL_TCP, TCP_NOTSENT_LOWAT, KIND_NUMBER, 0, INT32_MIN, INT32_MAX },
    { LEVEL_IP, IP_RECVERR, KIND_FLAG, 0, 0, 0 },
    { LEVEL_IP, IP_MTU_DISCOVER, KIND_NUMBER, 1, 0, 5 },
    { LEVEL_IP, IP_FREEBIND, KIND_FLAG, 0, 0, 0 },
    { LEVEL_IP, IP_BIND_ADDRESS_NO_PORT, KIND_FLAG, 0, 0, 0 },
    { LEVEL_IP, IP_MULTICAST_TTL, KIND_NUMBER, 1, 0, 255 },
    { LEVEL_IP, IP_MULTICAST_LOOP, KIND_FLAG, 1, 0, 0 },
    { LEVEL_IP6, IPV6_MULTICAST_HOPS, KIND_NUMBER, 1, 0, 255 },
    { LEVEL_IP6, IPV6_MULTICAST_LOOP, KIND_FLAG, 1, 0, 0 },
    { LEVEL_IP6, IPV6_MTU_DISCOVER, KIND_NUMBER, 1, 0, 5 },
    { LEVEL_IP6, IPV6_RECVERR, KIND_FLAG, 0, 0, 0 },
    { PROTOCOL_UDP_LITE, 10, KIND_NUMBER, 0, 0, 65535 }, /* what its check sums cover */
    { PROTOCOL_UDP_LITE, 11, KIND_NUMBER, 0, 0, 65535 },
};
#define OPTIONS (sizeof options / sizeof *options)
_Static_assert(OPTIONS <= KEPT_OPTIONS, "a socket keeps all options");

void options_init(struct socket *socket)
{
    for (unsigned i = 0; i < OPTIONS; i++)
        socket->options[i] = options[i].initial;
    if (is_tcp(socket)) {
        socket->options[KEPT_SEND_BUFFER] = TCP_SENT;
        socket->options[KEPT_RECEIVE_BUFFER] = TCP_QUEUED;
    }
}

static bool has_level(const struct socket *socket, uint64_t level)
{
    return level == LEVEL_SOCKET || (level == LEVEL_TCP && is_tcp(socket)) ||
           (level == PROTOCOL_UDP_LITE && socket->protocol == PROTOCOL_UDP_LITE) ||
           (level == LEVEL_IP && socket->family == FAMILY_INTERNET) ||
           (level == LEVEL_IP6 && socket->family == FAMILY_INTERNET6);
}

/* Returns the option's place, or a negative errno. */
static int64_t find(const struct socket *socket, uint64_t level, uint64_t name)
{
    if (!has_level(socket, level))
        return is_local(socket) || (level == LEVEL_TCP && !has_connections(socket)) ? -EOPNOTSUPP
                                                                                    : -ENOPROTOOPT;
    for (unsigned i = 0; i < OPTIONS; i++)
        if (options[i].level == level && options[i].name == name)
            return i;
    return -ENOPROTOOPT;
}

/* ---- Setting ---- */

static int64_t set_linger(struct socket *socket, uint64_t from, uint64_t length)
{
    if (length < 2 * sizeof(int))
        return -EINVAL;
    if (!user_range_ok(from, 2 * sizeof(int)))
        return -EFAULT;
    socket->lingers = ((const int *)from)[0];
    socket->linger_seconds = ((const int *)from)[1];
    return 0;
}

static int64_t set_timeout(int64_t *timeout, uint64_t from, uint64_t length)
{
    int64_t time[2]; /* seconds, microseconds */
    if (length < sizeof time)
        return -EINVAL;
    if (!user_range_ok(from, sizeof time))
        return -EFAULT;
    memcpy(time, (const void *)from, sizeof time);
    if (time[1] < 0 || time[1] >= 1000000)
        return -EDOM;
    if (time[0] < 0)
        *timeout = 1; /* as in Linux, it is over at once */
    else
        *timeout = (int64_t)minimum((uint64_t)time[0], 1ull << 32) * (int64_t)NANOSECONDS +
                   time[1] * 1000;
    return 0;
}

static int64_t set_number(struct socket *socket, unsigned place, int value)
{
    const struct option *option = &options[place];
    if (place == KEPT_ONLY_6 && socket->name.port)
        return -EINVAL;
    if (option->kind == KIND_FLAG) {
        value = value != 0;
    } else if (option->kind == KIND_NUMBER) {
        if (value == -1 && option->level != LEVEL_SOCKET && option->level != LEVEL_TCP)
            value = option->initial;
        if (value < option->least || value > option->most)
            return -EINVAL;
    } else {
        const int least = option->kind == KIND_SENT ? SMALLEST_SENT : SMALLEST_QUEUED;
        value = (int)minimum((unsigned)value, LARGEST_BUFFER) * 2;
        value = value < least ? least : value;
    }
    socket->options[place] = value;
    return 0;
}

/* Options that no value is right for: there are no other interfaces and no groups, and some need
 * privileges. */
static const struct {
    uint8_t level, name;
    int error;
} refused[] = {
    { LEVEL_IP, IP_ADD_MEMBERSHIP, ENODEV },    { LEVEL_IP, IP_MULTICAST_IF, ENODEV },
    { LEVEL_IP6, IPV6_ADD_MEMBERSHIP, ENODEV }, { LEVEL_IP6, IPV6_MULTICAST_IF, ENODEV },
    { LEVEL_SOCKET, SO_BINDTODEVICE, ENODEV },  { LEVEL_SOCKET, SO_SNDBUFFORCE, EPERM },
    { LEVEL_SOCKET, SO_RCVBUFFORCE, EPERM },    { LEVEL_SOCKET, SO_MARK, EPERM },
};

static int64_t set_unkept(uint64_t level, uint64_t name)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].level == level && refused[i].name == name)
            return -refused[i].error;
    return -ENOPROTOOPT;
}

/* Options of IP may be single bytes. */
static int64_t set_from(struct socket *socket, unsigned place, uint64_t from, uint64_t length)
{
    const bool byte = length && length < sizeof(int) && options[place].level == LEVEL_IP;
    if (!byte && length < sizeof(int))
        return -EINVAL;
    if (!user_range_ok(from, byte ? 1 : sizeof(int)))
        return -EFAULT;
    return set_number(socket, place, byte ? *(const uint8_t *)from : *(const int *)from);
}

static int64_t set(struct socket *socket, uint64_t level, uint64_t name, uint64_t from,
                   uint64_t length)
{
    if (level == LEVEL_SOCKET && name == SO_LINGER)
        return set_linger(socket, from, length);
    if (level == LEVEL_SOCKET && (name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD))
        return set_timeout(name == SO_RCVTIMEO_OLD ? &socket->receive_timeout
                                                   : &socket->send_timeout,
                           from, length);
    const int64_t place = find(socket, level, name);
    if (place < 0)
        return place == -ENOPROTOOPT ? set_unkept(level, name) : place;
    return set_from(socket, (unsigned)place, from, length);
}

SYSTEM_CALL(setsockopt)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    result = (int)e < 0 ? -EINVAL : set(socket_of(file), b, c, d, (uint32_t)e);
    file_put(file);
    return result;
}

/* ---- Telling ---- */

static int64_t give(uint64_t to, uint64_t length_at, const void *from, uint32_t length)
{
    if (!user_range_ok(length_at, sizeof(uint32_t)))
        return -EFAULT;
    const uint32_t capacity = *(const uint32_t *)length_at,
                   part = (uint32_t)minimum(capacity, length);
    if (capacity > INT32_MAX)
        return -EINVAL;
    if (part && !user_range_ok(to, part))
        return -EFAULT;
    memcpy((void *)to, from, part);
    *(uint32_t *)length_at = part;
    return 0;
}

static int64_t give_number(uint64_t to, uint64_t length_at, int value)
{
    return give(to, length_at, &value, sizeof value);
}

static int64_t give_peer(const struct socket *socket, uint64_t to, uint64_t length_at)
{
    const bool connected = is_local(socket) && socket->state == SOCKET_CONNECTED;
    const int peer[3] = { connected ? process_id() : 0, connected ? 0 : -1, connected ? 0 : -1 };
    return give(to, length_at, peer, sizeof peer);
}

static int64_t give_timeout(int64_t timeout, uint64_t to, uint64_t length_at)
{
    const int64_t time[2] = { timeout / (int64_t)NANOSECONDS,
                              timeout % (int64_t)NANOSECONDS / 1000 };
    return give(to, length_at, time, sizeof time);
}

static int64_t tell_of_socket(struct socket *socket, uint64_t name, uint64_t to, uint64_t length_at)
{
    const int linger[2] = { socket->lingers, socket->linger_seconds };
    switch (name) {
    case SO_TYPE:
        return give_number(to, length_at, socket->type);
    case SO_DOMAIN:
        return give_number(to, length_at, socket->family);
    case SO_PROTOCOL:
        return give_number(to, length_at, socket->protocol);
    case SO_ERROR:
        return give_number(to, length_at, (int)-socket_take_error(socket));
    case SO_ACCEPTCONN:
        return give_number(to, length_at, socket->state == SOCKET_LISTENING);
    case SO_LINGER:
        return give(to, length_at, linger, sizeof linger);
    case SO_PEERCRED:
        return give_peer(socket, to, length_at);
    case SO_RCVTIMEO_OLD:
        return give_timeout(socket->receive_timeout, to, length_at);
    case SO_SNDTIMEO_OLD:
        return give_timeout(socket->send_timeout, to, length_at);
    case SO_SNDLOWAT:
        return give_number(to, length_at, 1);
    default:
        return -ENOPROTOOPT;
    }
}

static int64_t tell_of_tcp(const struct socket *socket, uint64_t name, uint64_t to,
                           uint64_t length_at)
{
    static const char control[16] = "cubic";
    /* states of TCP: ESTABLISHED 1, SYN_SENT 2, CLOSE 7, CLOSE_WAIT 8, LISTEN 10 */
    const struct tcp_info info = {
        .tcpi_state = socket->state == SOCKET_LISTENING    ? 10
                      : socket->state == SOCKET_CONNECTING ? 2
                      : socket->state != SOCKET_CONNECTED  ? 7
                      : socket->in_done                    ? 8
                                                           : 1,
    };
    return name == TCP_INFO         ? give(to, length_at, &info, sizeof info)
           : name == TCP_CONGESTION ? give(to, length_at, control, sizeof control)
                                    : -ENOPROTOOPT;
}

SYSTEM_CALL(getsockopt)
{
    int64_t result;
    struct file *file = socket_get(a, &result);
    if (!file)
        return result;
    struct socket *socket = socket_of(file);
    result = find(socket, b, c);
    if (result == -ENOPROTOOPT && socket->family == FAMILY_INTERNET && !has_level(socket, b))
        result = -EOPNOTSUPP; /* setsockopt(2) has the other error, as in Linux */
    if (result >= 0)
        result = give_number(d, e, socket->options[result]);
    else if (result == -ENOPROTOOPT && b == LEVEL_SOCKET)
        result = tell_of_socket(socket, c, d, e);
    else if (result == -ENOPROTOOPT && b == LEVEL_TCP && is_tcp(socket))
        result = tell_of_tcp(socket, c, d, e);
    file_put(file);
    return result;
}
