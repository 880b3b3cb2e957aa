/* Names of internet sockets: a host address and a port. */
#include "lib/string.h"
#include "sockets/socket.h"

#define FIRST_EPHEMERAL 32768u
#define LAST_EPHEMERAL  60999u

static uint16_t last_given = FIRST_EPHEMERAL - 1;

/* Returns true if what is sent to this address may be for the socket. */
static bool takes(const struct socket *socket, const struct address *to)
{
    if (socket->name.port != to->port)
        return false;
    if (!address_is_any(&socket->name))
        return addresses_equal(&socket->name, to);
    return address_is_version_4(to)
               ? address_is_version_4(&socket->name) || !socket->options[KEPT_ONLY_6]
               : !address_is_version_4(&socket->name);
}

/* ---- Binding ---- */

static bool overlaps(const struct socket *one, const struct socket *other)
{
    const bool one_any = address_is_any(&one->name), other_any = address_is_any(&other->name);
    if (!one_any || !other_any)
        return one_any ? takes(one, &other->name) : takes(other, &one->name);
    const bool one_4 = address_is_version_4(&one->name),
               other_4 = address_is_version_4(&other->name);
    return one_4 == other_4 || !(one_4 ? other : one)->options[KEPT_ONLY_6];
}

/* Sockets may share a name if both want to, and none of them would take the other's
 * connections. */
static bool may_share(const struct socket *one, const struct socket *other)
{
    if (one->options[KEPT_REUSE_PORT] && other->options[KEPT_REUSE_PORT])
        return true;
    return one->options[KEPT_REUSE_ADDRESS] && other->options[KEPT_REUSE_ADDRESS] &&
           one->state != SOCKET_LISTENING && other->state != SOCKET_LISTENING;
}

static bool name_is_free(const struct socket *socket)
{
    for (const struct socket *other = all_sockets; other; other = other->next)
        if (other != socket && !is_local(other) && other->protocol == socket->protocol &&
            other->name.port == socket->name.port && overlaps(socket, other) &&
            !may_share(socket, other))
            return false;
    return true;
}

static bool port_is_used(int protocol, uint16_t port)
{
    for (const struct socket *other = all_sockets; other; other = other->next)
        if (!is_local(other) && other->protocol == protocol && other->name.port == port)
            return true;
    return false;
}

/* Ports are given in a circle: a deterministic call gets the same. */
static int64_t give_port(struct socket *socket)
{
    for (unsigned i = FIRST_EPHEMERAL; i <= LAST_EPHEMERAL; i++) {
        last_given = last_given == LAST_EPHEMERAL ? FIRST_EPHEMERAL : (uint16_t)(last_given + 1);
        if (!port_is_used(socket->protocol, last_given)) {
            socket->name.port = last_given;
            return 0;
        }
    }
    return -EADDRINUSE;
}

int64_t internet_bind(struct socket *socket, const struct address *address)
{
    if (socket->name.port || socket->state != SOCKET_NEW)
        return -EINVAL;
    if (!address_is_any(address) && !address_is_here(address))
        return -EADDRNOTAVAIL;
    if (socket->options[KEPT_ONLY_6] && address_is_version_4(address))
        return -EINVAL;
    const struct address old = socket->name;
    socket->name = *address;
    const int64_t error = !address->port ? give_port(socket)
                                         : (name_is_free(socket) ? 0 : -EADDRINUSE);
    if (error)
        socket->name = old;
    return error;
}

int64_t internet_bind_anywhere(struct socket *socket)
{
    return socket->name.port ? 0 : give_port(socket);
}

int64_t internet_route(const struct socket *socket, struct address *to)
{
    const bool version_4 = address_is_version_4(to);
    if (version_4 ? socket->options[KEPT_ONLY_6]
                  : address_is_version_4(&socket->name) && socket->name.port)
        return -ENETUNREACH;
    return address_route(to);
}

struct address internet_source(const struct socket *socket, const struct address *to)
{
    if (!address_is_any(&socket->name))
        return socket->name;
    struct address source = address_source(to);
    source.port = socket->name.port;
    return source;
}

/* ---- Finding ---- */

/* A socket that is bound to the address goes before those of any address, and of these one for
 * IPv4 alone before one for both. */
static int fit(const struct socket *socket, const struct address *to)
{
    if (is_local(socket) || !takes(socket, to))
        return 0;
    return !address_is_any(&socket->name)                                    ? 3
           : address_is_version_4(&socket->name) == address_is_version_4(to) ? 2
                                                                             : 1;
}

struct socket *internet_find_listener(const struct address *to)
{
    struct socket *best = NULL;
    int best_fit = 0;
    for (struct socket *socket = all_sockets; socket; socket = socket->next) {
        const int found = socket->state == SOCKET_LISTENING ? fit(socket, to) : 0;
        if (found > best_fit) {
            best = socket;
            best_fit = found;
        }
    }
    return best;
}

struct socket *internet_find_receiver(int protocol, const struct address *to,
                                      const struct address *from)
{
    struct socket *best = NULL;
    int best_fit = 0;
    for (struct socket *socket = all_sockets; socket; socket = socket->next) {
        int found = socket->protocol == protocol ? fit(socket, to) : 0;
        if (found && socket->peer_name.family)
            found = addresses_equal(&socket->peer_name, from) ? found + 3 : 0;
        if (found > best_fit) {
            best = socket;
            best_fit = found;
        }
    }
    return best;
}
