/* How many connections wait for accept(2): one more than the backlog says. */
#define _GNU_SOURCE
#include "sockets.h"

enum { MOST = 8 };

struct kind {
    int family, type;
};

static const struct kind kinds[] = { { AF_INET, SOCK_STREAM },
                                     { AF_INET6, SOCK_STREAM },
                                     { AF_UNIX, SOCK_STREAM },
                                     { AF_UNIX, SOCK_SEQPACKET } };

static union any_address name;
static socklen_t name_length;

static int listener_of(const struct kind *kind, int backlog)
{
    const int fd = opened(kind->family, kind->type);
    if (kind->family == AF_UNIX)
        CHECK(bind(fd, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t)) == 0);
    else
        CHECK(bind_to(fd, kind->family == AF_INET ? at("127.0.0.1", 0) : at6("::1", 0)) == 0);
    CHECK(listen(fd, backlog) == 0);
    name_length = sizeof name;
    CHECK(getsockname(fd, &name.generic, &name_length) == 0);
    return fd;
}

static int client_of(const struct kind *kind)
{
    const int fd = opened(kind->family, kind->type);
    wait_no_longer(fd);
    return fd;
}

static int ask(int fd)
{
    return connect(fd, &name.generic, name_length);
}

static bool is_connected(int fd)
{
    union any_address address;
    socklen_t length = sizeof address;
    return getpeername(fd, &address.generic, &length) == 0;
}

static bool is_in_progress(int fd)
{
    struct pollfd entry = { fd, POLLOUT, 0 };
    return fails_with(ask(fd), EALREADY) && poll(&entry, 1, 0) == 0 && !is_connected(fd);
}

static void connect_one(const struct kind *kind, int fd, bool has_room)
{
    const int result = ask(fd);
    if (kind->family != AF_UNIX) {
        CHECK(fails_with(result, EINPROGRESS));
        if (has_room)
            await(fd, POLLOUT);
        CHECK(has_room ? is_connected(fd) : is_in_progress(fd));
    } else {
        CHECK(has_room ? result == 0 : fails_with(result, EAGAIN));
        CHECK(is_connected(fd) == has_room);
    }
}

static void holds(const struct kind *kind, int backlog)
{
    int clients[MOST];
    const int listener = listener_of(kind, backlog);
    for (int i = 0; i < MOST; i++) {
        clients[i] = client_of(kind);
        connect_one(kind, clients[i], i <= backlog);
    }
    CHECK(close(clients[0]) == 0); /* it still waits to be accepted */
    if (kind->family == AF_UNIX)
        CHECK(fails_with(ask(clients[MOST - 1]), EAGAIN));
    const int accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0 && close(accepted) == 0);
    if (kind->family == AF_UNIX) {
        CHECK(ask(clients[MOST - 1]) == 0 && is_connected(clients[MOST - 1]));
        CHECK(fails_with(ask(clients[MOST - 1]), EAGAIN));
        CHECK(close(accept(listener, NULL, NULL)) == 0);
        CHECK(fails_with(ask(clients[MOST - 1]), EISCONN));
    } else {
        await(clients[backlog + 1], POLLOUT); /* Linux tries again after a while */
        CHECK(is_connected(clients[backlog + 1]) && error_of(clients[backlog + 1]) == 0);
    }
    for (int i = 1; i < MOST; i++)
        CHECK(close(clients[i]) == 0);
    CHECK(close(listener) == 0);
}

/* ---- Connections that wait for room ---- */

struct waiting {
    const struct kind *kind;
    int fd, result;
};

static void *wait_for_room(void *argument)
{
    struct waiting *waiting = argument;
    waiting->fd = opened(waiting->kind->family, waiting->kind->type);
    waiting->result = ask(waiting->fd);
    return NULL;
}

static void gets_room(const struct kind *kind, bool by_listening)
{
    pthread_t thread;
    struct waiting waiting = { kind, -1, -1 };
    const int listener = listener_of(kind, 0), first = client_of(kind);
    connect_one(kind, first, true);
    CHECK(pthread_create(&thread, NULL, wait_for_room, &waiting) == 0);
    usleep(20000);
    if (by_listening)
        CHECK(listen(listener, 1) == 0);
    else
        CHECK(close(accept(listener, NULL, NULL)) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && waiting.result == 0 && is_connected(waiting.fd));
    const int accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0 && close(accepted) == 0);
    CHECK(close(waiting.fd) == 0 && close(first) == 0 && close(listener) == 0);
}

int main(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        holds(&kinds[i], 0);
        holds(&kinds[i], 1);
        holds(&kinds[i], 5);
        gets_room(&kinds[i], false);
        gets_room(&kinds[i], true);
    }
    return DONE();
}
