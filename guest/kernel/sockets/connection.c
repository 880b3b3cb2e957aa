/* Connections: from listen(2) and connect(2) to the end. Their two ends know each other. */
#include "sockets/socket.h"

#define MAX_BACKLOG 4096u

/* ---- Listening ---- */

static bool has_room(const struct socket *listener)
{
    return listener->pending <= listener->backlog;
}

static void add_pending(struct socket *listener, struct socket *socket)
{
    struct socket **end = &listener->first_pending;
    while (*end)
        end = &(*end)->next_pending;
    *end = socket;
    listener->pending++;
    socket->listener = listener;
    socket_changed(listener);
}

void connection_pair(struct socket *one, struct socket *other)
{
    one->peer = other;
    other->peer = one;
    one->state = other->state = SOCKET_CONNECTED;
    socket_changed(one);
    socket_changed(other);
}

/* Makes the listener's end of a new connection, which waits to be accepted. */
static int64_t establish(struct socket *client, struct socket *listener)
{
    struct socket *end = socket_create(listener->family, listener->type, listener->protocol);
    if (!end)
        return -ENOMEM;
    for (unsigned i = 0; i < KEPT_OPTIONS; i++)
        end->options[i] = listener->options[i];
    end->lingers = listener->lingers;
    end->linger_seconds = listener->linger_seconds;
    end->name = is_local(client) ? listener->name : client->peer_name;
    end->peer_name = client->name;
    connection_pair(client, end);
    add_pending(listener, end);
    return 0;
}

static void fail(struct socket *socket, int error)
{
    socket->state = SOCKET_FAILED;
    socket->listener = NULL;
    socket->error = error;
    socket->in_shut = socket->out_shut = true;
    socket_changed(socket);
}

/* The sockets that wait for room get it in the order in which they were made. */
static void admit(struct socket *listener)
{
    while (has_room(listener)) {
        struct socket *found = NULL;
        for (struct socket *socket = all_sockets; socket; socket = socket->next)
            if (socket->state == SOCKET_CONNECTING && socket->listener == listener)
                found = socket; /* the list begins with the last one made */
        if (!found)
            return;
        found->listener = NULL;
        if (establish(found, listener))
            fail(found, ENOMEM);
    }
}

int64_t connection_listen(struct socket *socket, int backlog)
{
    if (!has_connections(socket))
        return -EOPNOTSUPP;
    if (socket->state != SOCKET_NEW && socket->state != SOCKET_LISTENING)
        return -EINVAL;
    if (is_local(socket) && !socket->owns_name)
        return -EINVAL;
    if (!is_local(socket)) {
        const int64_t error = internet_bind_anywhere(socket);
        if (error)
            return error;
    }
    /* as in Linux, a negative number asks for the most */
    socket->backlog = (unsigned)minimum((unsigned)backlog, MAX_BACKLOG);
    if (socket->state == SOCKET_NEW)
        socket->in_shut = socket->out_shut = false;
    socket->state = SOCKET_LISTENING;
    admit(socket); /* there may be more room than before */
    return 0;
}

/* ---- Connecting ---- */

static int64_t failure(struct socket *socket)
{
    const int64_t error = socket_take_error(socket);
    socket->state = SOCKET_NEW;
    socket->peer_name.family = FAMILY_NONE;
    socket->in_shut = socket->out_shut = false;
    return error ? error : -ECONNABORTED;
}

static struct socket *find_listener(struct socket *socket, struct address *to, int64_t *error)
{
    if (is_local(socket)) {
        struct socket *found = local_find(to, socket->type, error);
        if (found && (found->state != SOCKET_LISTENING || found->in_shut)) {
            *error = -ECONNREFUSED;
            return NULL;
        }
        return found;
    }
    *error = internet_route(socket, to);
    if (*error == 0)
        *error = internet_bind_anywhere(socket);
    if (*error)
        return NULL;
    socket->name = internet_source(socket, to);
    return internet_find_listener(to);
}

/* Begins a connection: it is there, or has failed, or waits for room. */
static int64_t begin(struct socket *socket, const struct address *address, bool wait)
{
    int64_t error;
    struct address to = *address;
    struct socket *listener = find_listener(socket, &to, &error);
    if (error)
        return error;
    if (!listener) {
        fail(socket, ECONNREFUSED);
        return 0;
    }
    socket->peer_name = is_local(socket) ? listener->name : to;
    if (has_room(listener))
        return establish(socket, listener);
    if (is_local(socket) && !wait)
        return -EAGAIN;
    socket->state = SOCKET_CONNECTING;
    socket->listener = listener;
    return 0;
}

static bool has_connected(void *argument)
{
    return ((const struct socket *)argument)->state != SOCKET_CONNECTING;
}

/* Waits for a listener's room. A signal or the timeout ends the wait, but not the attempt of an
 * internet socket. */
static int64_t await(struct socket *socket)
{
    if (block_until(has_connected, socket, socket_deadline(socket->send_timeout)))
        return socket->state == SOCKET_CONNECTED ? 0 : failure(socket);
    if (is_local(socket)) {
        socket->state = SOCKET_NEW;
        socket->listener = NULL;
    }
    return interrupted() ? -EINTR : is_local(socket) ? -EAGAIN : -EINPROGRESS;
}

/* Linux looks at the listener before it looks whether a local socket is connected. */
static int64_t refuse_other(struct socket *socket, const struct address *address, bool wait)
{
    int64_t error = 0;
    struct address to = *address;
    const struct socket *listener = is_local(socket) ? find_listener(socket, &to, &error) : NULL;
    return error ? error : listener && !has_room(listener) && !wait ? -EAGAIN : -EISCONN;
}

static int64_t connect_again(struct socket *socket, const struct address *to, bool wait)
{
    switch (socket->state) {
    case SOCKET_CONNECTING:
        return wait ? await(socket) : -EALREADY;
    case SOCKET_FAILED:
        return failure(socket);
    case SOCKET_LISTENING:
        return is_local(socket) ? -EINVAL : -EISCONN;
    default:
        if (!socket->unasked)
            return refuse_other(socket, to, wait);
        socket->unasked = false;
        return 0;
    }
}

int64_t connection_connect(struct socket *socket, const struct address *to, bool wait)
{
    if (socket->state != SOCKET_NEW)
        return connect_again(socket, to, wait);
    const int64_t error = begin(socket, to, wait);
    if (error)
        return error;
    if (!is_local(socket) && !wait) {
        socket->unasked = socket->state == SOCKET_CONNECTED;
        return -EINPROGRESS; /* as in Linux, even if it is done */
    }
    return await(socket);
}

/* ---- Accepting ---- */

static bool can_accept(void *argument)
{
    const struct socket *listener = argument;
    return listener->first_pending || listener->state != SOCKET_LISTENING || listener->in_shut;
}

struct socket *connection_accept(struct socket *listener, bool wait, int64_t *error)
{
    const uint64_t deadline = socket_deadline(listener->receive_timeout);
    *error = has_connections(listener) ? -EINVAL : -EOPNOTSUPP;
    if (listener->state != SOCKET_LISTENING)
        return NULL;
    if (!can_accept(listener) && !wait) {
        *error = -EAGAIN;
        return NULL;
    }
    if (!block_until(can_accept, listener, deadline)) {
        *error = interrupted() ? -EINTR : -EAGAIN;
        return NULL;
    }
    struct socket *socket = listener->first_pending;
    if (!socket)
        return NULL; /* shut down meanwhile */
    listener->first_pending = socket->next_pending;
    listener->pending--;
    socket->next_pending = socket->listener = NULL;
    *error = 0;
    admit(listener);
    return socket;
}

void connection_return(struct socket *listener, struct socket *socket)
{
    socket->next_pending = listener->first_pending;
    socket->listener = listener;
    listener->first_pending = socket;
    listener->pending++;
}

/* ---- Ending ---- */

static void stop_listening(struct socket *listener)
{
    while (listener->first_pending) {
        struct socket *socket = listener->first_pending;
        listener->first_pending = socket->next_pending;
        socket->next_pending = NULL;
        socket_destroy(socket);
    }
    listener->pending = 0;
    for (struct socket *socket = all_sockets; socket; socket = socket->next)
        if (socket->state == SOCKET_CONNECTING && socket->listener == listener)
            fail(socket, ECONNREFUSED);
}

/* Tells the other end that a direction has ended. */
static void shut_local(struct socket *socket, bool reading, bool writing)
{
    socket->in_shut |= reading;
    socket->out_shut |= writing;
    if (socket->peer) {
        socket->peer->in_shut |= writing;
        socket->peer->out_shut |= reading;
        socket_changed(socket->peer);
    }
}

static void shut_tcp(struct socket *socket, bool reading, bool writing)
{
    socket->in_shut |= reading;
    if (!writing || socket->out_shut)
        return;
    socket->out_shut = true;
    if (socket->peer) {
        socket->peer->in_shut = socket->peer->in_done = true;
        socket_changed(socket->peer);
    }
}

void connection_shut(struct socket *socket, bool reading, bool writing)
{
    if (socket->state == SOCKET_LISTENING && !is_local(socket)) {
        if (!reading)
            return;
        stop_listening(socket);
        socket->state = SOCKET_NEW;
    } else if (is_local(socket)) {
        shut_local(socket, reading, writing);
    } else {
        shut_tcp(socket, reading, writing);
    }
    socket_changed(socket);
}

/* A close with unread data, of a connection that nobody accepted, or with a linger time of 0, is
 * an error at the other end. */
static bool aborts(const struct socket *socket)
{
    const bool unaccepted = socket->listener != NULL;
    return socket->in.first || unaccepted ||
           (is_tcp(socket) && socket->lingers && socket->linger_seconds == 0);
}

static void leave(struct socket *peer, bool with_error, bool was_shut)
{
    peer->peer = NULL;
    if (with_error)
        peer->error = ECONNRESET;
    if (is_local(peer) || with_error)
        peer->in_shut = peer->out_shut = true;
    else if (!was_shut)
        peer->in_shut = peer->in_done = true;
    socket_changed(peer);
}

void connection_close(struct socket *socket)
{
    if (socket->state == SOCKET_LISTENING)
        stop_listening(socket);
    if (has_connections(socket) && socket->state == SOCKET_CONNECTED && socket->peer)
        leave(socket->peer, aborts(socket), socket->out_shut);
}
