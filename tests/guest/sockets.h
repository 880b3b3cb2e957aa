/* Internet sockets of one host. Ports are those that the kernel gives, so programs can run at
 * once. What one end does is seen at the other soon on Linux, so each check of it waits for it. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

enum { LONG = 20000 }; /* milliseconds until a wait is given up */

union any_address {
    struct sockaddr generic;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
};

static inline union any_address at(const char *host, unsigned port)
{
    union any_address address = { .in = { .sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)port) } };
    CHECK(inet_pton(AF_INET, host, &address.in.sin_addr) == 1);
    return address;
}

static inline union any_address at6(const char *host, unsigned port)
{
    union any_address address = { .in6 = { .sin6_family = AF_INET6,
                                           .sin6_port = htons((uint16_t)port) } };
    CHECK(inet_pton(AF_INET6, host, &address.in6.sin6_addr) == 1);
    return address;
}

static inline socklen_t size_of(const union any_address *address)
{
    return address->generic.sa_family == AF_INET ? sizeof address->in : sizeof address->in6;
}

static inline int bind_to(int fd, union any_address address)
{
    return bind(fd, &address.generic, size_of(&address));
}

static inline int connect_to(int fd, union any_address address)
{
    return connect(fd, &address.generic, size_of(&address));
}

static inline unsigned port_of(int fd)
{
    union any_address address;
    socklen_t length = sizeof address;
    CHECK(getsockname(fd, &address.generic, &length) == 0);
    return ntohs(address.in.sin_port);
}

static inline int opened(int family, int type)
{
    const int fd = socket(family, type, 0);
    CHECK(fd >= 0);
    return fd;
}

static inline int listening(void)
{
    const int fd = opened(AF_INET, SOCK_STREAM);
    CHECK(bind_to(fd, at("127.0.0.1", 0)) == 0 && listen(fd, 5) == 0);
    return fd;
}

/* Two connected ends of TCP. */
static inline void connected(int ends[2])
{
    const int listener = listening();
    ends[0] = opened(AF_INET, SOCK_STREAM);
    CHECK(connect_to(ends[0], at("127.0.0.1", port_of(listener))) == 0);
    ends[1] = accept(listener, NULL, NULL);
    CHECK(ends[1] >= 0 && close(listener) == 0);
}

static inline void close_both(const int ends[2])
{
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* Waits until the descriptor has all of these events, and returns those that it has. */
static inline int await(int fd, int events)
{
    struct pollfd entry = { fd, (short)(POLLIN | POLLOUT | POLLRDHUP), 0 };
    for (int i = 0; i < LONG; i++) {
        entry.revents = 0;
        CHECK(poll(&entry, 1, 0) >= 0);
        if ((entry.revents & events) == events)
            return entry.revents;
        usleep(1000);
    }
    CHECK(!"the events came");
    return entry.revents;
}

static inline int error_of(int fd)
{
    int error = -1;
    socklen_t length = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && length == sizeof error);
    return error;
}

static inline int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(fd, level, name, &value, &length) == 0 && length == sizeof value);
    return value;
}

static inline int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static inline void wait_no_longer(int fd)
{
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

#endif
