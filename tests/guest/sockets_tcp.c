/* TCP within one host: names, and how connections begin and carry bytes. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "sockets.h"

static void names_of_peers(int client, int server)
{
    union any_address name;
    socklen_t length = sizeof name;
    CHECK(getpeername(server, &name.generic, &length) == 0 &&
          ntohs(name.in.sin_port) == port_of(client) &&
          name.in.sin_addr.s_addr == htonl(0x7f000001));
    CHECK(getpeername(client, &name.generic, &length) == 0 &&
          ntohs(name.in.sin_port) == port_of(server));
    length = 6; /* a short buffer gets a part, and the whole length */
    memset(&name, 0xee, sizeof name);
    CHECK(getsockname(server, &name.generic, &length) == 0 && length == sizeof name.in &&
          name.in.sin_family == AF_INET && name.in.sin_addr.s_addr == 0xeeee007fu);
}

static void names(void)
{
    union any_address name;
    socklen_t length = sizeof name;
    const int listener = listening(), client = opened(AF_INET, SOCK_STREAM);
    CHECK(getsockname(client, &name.generic, &length) == 0 && length == sizeof name.in &&
          name.in.sin_addr.s_addr == 0 && name.in.sin_port == 0);
    CHECK(fails_with(getpeername(client, &name.generic, &length), ENOTCONN));
    CHECK(connect_to(client, at("127.0.0.1", port_of(listener))) == 0);
    const int server = accept4(listener, &name.generic, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(server >= 0 && fcntl(server, F_GETFD) == FD_CLOEXEC &&
          (fcntl(server, F_GETFL) & O_NONBLOCK));
    CHECK(ntohs(name.in.sin_port) == port_of(client) && port_of(server) == port_of(listener));
    names_of_peers(client, server);
    close(listener);
    close(client);
    close(server);
}

static void refused_names(void)
{
    const int one = listening(), other = opened(AF_INET, SOCK_STREAM);
    const unsigned port = port_of(one);
    CHECK(fails_with(bind_to(other, at("127.0.0.1", port)), EADDRINUSE));
    CHECK(fails_with(bind_to(other, at("0.0.0.0", port)), EADDRINUSE));
    CHECK(fails_with(bind_to(other, at("192.0.2.1", 0)), EADDRNOTAVAIL));
    CHECK(fails_with(bind_to(other, at6("::1", 0)), EAFNOSUPPORT));
    union any_address address = at("127.0.0.1", 0);
    CHECK(fails_with(bind(other, &address.generic, 8), EINVAL));
    CHECK(fails_with(bind(other, NULL, sizeof address.in), EFAULT));
    CHECK(bind_to(other, at("127.0.0.2", port)) == 0); /* another address of this host */
    CHECK(fails_with(bind_to(other, at("127.0.0.1", 0)), EINVAL));
    CHECK(fails_with(connect_to(one, at("127.0.0.1", port)), EISCONN));
    CHECK(fails_with(accept(other, NULL, NULL), EINVAL));
    close(one);
    close(other);
    CHECK(fails_with(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT));
    CHECK(fails_with(socket(77, SOCK_STREAM, 0), EAFNOSUPPORT));
    CHECK(fails_with(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT));
    CHECK(fails_with(listen(0, 1), ENOTSOCK) && fails_with(listen(-1, 1), EBADF));
}

static void names_for_several(void)
{
    int ends[2], again = opened(AF_INET, SOCK_STREAM), first = opened(AF_INET, SOCK_STREAM);
    CHECK(set_option(first, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
          bind_to(first, at("127.0.0.1", 0)) == 0 && listen(first, 1) == 0);
    const unsigned port = port_of(first);
    ends[0] = opened(AF_INET, SOCK_STREAM);
    CHECK(connect_to(ends[0], at("127.0.0.1", port)) == 0 &&
          (ends[1] = accept(first, NULL, NULL)) >= 0 && close(first) == 0);
    CHECK(fails_with(bind_to(again, at("127.0.0.1", port)), EADDRINUSE)); /* the connection's */
    CHECK(set_option(again, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
          bind_to(again, at("127.0.0.1", port)) == 0);
    close_both(ends);
    close(again);
    for (int i = 0; i < 2; i++) {
        ends[i] = opened(AF_INET, SOCK_STREAM);
        CHECK(set_option(ends[i], SOL_SOCKET, SO_REUSEPORT, 1) == 0 &&
              bind_to(ends[i], at("127.0.0.1", i ? port_of(ends[0]) : 0)) == 0 &&
              listen(ends[i], 1) == 0);
    }
    close_both(ends);
}

static void bytes(void)
{
    int ends[2];
    char buffer[64] = "";
    const struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } };
    connected(ends);
    CHECK(send(ends[0], "hello", 5, 0) == 5 && recv(ends[1], buffer, 2, MSG_PEEK) == 2);
    CHECK(recv(ends[1], buffer, 5, MSG_WAITALL) == 5 && memcmp(buffer, "hello", 5) == 0);
    CHECK(writev(ends[1], out, 2) == 7 && recv(ends[0], buffer, 7, MSG_WAITALL) == 7 &&
          memcmp(buffer, "abcdefg", 7) == 0);
    CHECK(fails_with(recv(ends[0], buffer, 1, MSG_DONTWAIT), EAGAIN));
    close_both(ends);
}

static void parts_of_bytes(void)
{
    int ends[2], waiting;
    char buffer[64] = "";
    connected(ends);
    CHECK(write(ends[0], "12345678", 8) == 8 && (await(ends[1], POLLIN) & POLLOUT) &&
          ioctl(ends[1], FIONREAD, &waiting) == 0 && waiting == 8);
    CHECK(recv(ends[1], NULL, 0, 0) == 0 && recv(ends[1], buffer, 3, MSG_TRUNC) == 3 &&
          read(ends[1], buffer, 64) == 5 && buffer[4] == '8');
    CHECK(fails_with(pread(ends[0], buffer, 1, 0), ESPIPE) &&
          fails_with(lseek(ends[0], 0, SEEK_CUR), ESPIPE));
    union any_address name;
    socklen_t length = sizeof name;
    CHECK(write(ends[0], "x", 1) == 1 &&
          recvfrom(ends[1], buffer, 4, 0, &name.generic, &length) == 1 && length == 0);
    CHECK(fails_with(connect_to(ends[0], at("127.0.0.1", 9)), EISCONN));
    close_both(ends);
}

static void version_6(void)
{
    union any_address name;
    socklen_t length = sizeof name;
    char text[64];
    const int listener = opened(AF_INET6, SOCK_STREAM);
    if (bind_to(listener, at6("::", 0))) {
        CHECK(getenv("ON_LINUX")); /* hosts without IPv6 */
        close(listener);
        return;
    }
    CHECK(listen(listener, 2) == 0);
    const int six = opened(AF_INET6, SOCK_STREAM), four = opened(AF_INET, SOCK_STREAM);
    CHECK(connect_to(six, at6("::1", port_of(listener))) == 0);
    int server = accept(listener, &name.generic, &length);
    CHECK(server >= 0 && length == sizeof name.in6 && IN6_IS_ADDR_LOOPBACK(&name.in6.sin6_addr));
    close(server);
    CHECK(connect_to(four, at("127.0.0.1", port_of(listener))) == 0);
    server = accept(listener, &name.generic, &length);
    CHECK(server >= 0 && strcmp(inet_ntop(AF_INET6, &name.in6.sin6_addr, text, sizeof text),
                                "::ffff:127.0.0.1") == 0);
    close(server);
    const int only = opened(AF_INET6, SOCK_STREAM), other = opened(AF_INET, SOCK_STREAM);
    CHECK(set_option(only, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 &&
          option_of(only, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    CHECK(fails_with(bind_to(other, at("127.0.0.1", port_of(listener))), EADDRINUSE));
    CHECK(bind_to(only, at6("::", 0)) == 0 && listen(only, 1) == 0 &&
          bind_to(other, at("0.0.0.0", port_of(only))) == 0);
    const int open[] = { listener, six, four, only, other };
    for (unsigned i = 0; i < sizeof open / sizeof *open; i++)
        close(open[i]);
}

/* ---- How connections begin ---- */

static void connecting_without_waiting(void)
{
    const int listener = listening(), client = opened(AF_INET, SOCK_STREAM),
              refused = opened(AF_INET, SOCK_STREAM), gone = listening();
    const unsigned port = port_of(listener), nobody = port_of(gone);
    close(gone);
    wait_no_longer(client);
    wait_no_longer(refused);
    CHECK(fails_with(connect_to(client, at("127.0.0.1", port)), EINPROGRESS));
    CHECK((await(client, POLLOUT) & (POLLERR | POLLHUP)) == 0 && error_of(client) == 0);
    CHECK(connect_to(client, at("127.0.0.1", port)) == 0 &&
          fails_with(connect_to(client, at("127.0.0.1", port)), EISCONN));
    CHECK(fails_with(connect_to(refused, at("127.0.0.1", nobody)), EINPROGRESS));
    CHECK(await(refused, POLLERR | POLLHUP | POLLOUT | POLLIN) & POLLRDHUP);
    CHECK(error_of(refused) == ECONNREFUSED && error_of(refused) == 0);
    close(refused);
    const int waits = opened(AF_INET, SOCK_STREAM);
    CHECK(fails_with(connect_to(waits, at("127.0.0.1", nobody)), ECONNREFUSED));
    CHECK(connect_to(waits, at("127.0.0.1", port)) == 0);
    wait_no_longer(listener);
    CHECK(close(accept(listener, NULL, NULL)) == 0 && close(accept(listener, NULL, NULL)) == 0 &&
          fails_with(accept(listener, NULL, NULL), EAGAIN));
    close(client);
    close(waits);
    close(listener);
}

static void not_connected(void)
{
    char buffer[1];
    const int fd = opened(AF_INET, SOCK_STREAM);
    CHECK(await(fd, POLLOUT | POLLHUP) == (POLLOUT | POLLHUP));
    CHECK(fails_with(recv(fd, buffer, 1, 0), ENOTCONN) &&
          fails_with(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE) &&
          fails_with(shutdown(fd, SHUT_RDWR), ENOTCONN));
    close(fd);
}

static void *accept_later(void *argument)
{
    const int listener = *(const int *)argument;
    for (int i = 0; i < 4; i++) {
        const int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0 && write(fd, "y", 1) == 1);
        close(fd);
    }
    return NULL;
}

/* More than the listener keeps, which wait for each other. */
static void queue_of_connections(void)
{
    pthread_t thread;
    char byte;
    int clients[4], listener = opened(AF_INET, SOCK_STREAM);
    CHECK(bind_to(listener, at("127.0.0.1", 0)) == 0 && listen(listener, 1) == 0);
    for (int i = 0; i < 4; i++) {
        clients[i] = opened(AF_INET, SOCK_STREAM);
        wait_no_longer(clients[i]);
        CHECK(fails_with(connect_to(clients[i], at("127.0.0.1", port_of(listener))), EINPROGRESS));
    }
    CHECK((await(listener, POLLIN) & POLLOUT) == 0);
    CHECK(pthread_create(&thread, NULL, accept_later, &listener) == 0);
    for (int i = 0; i < 4; i++) {
        await(clients[i], POLLIN);
        CHECK(read(clients[i], &byte, 1) == 1 && byte == 'y');
        close(clients[i]);
    }
    pthread_join(thread, NULL);
    close(listener);
}

/* ---- Readiness ---- */

static int events_of_set(int set, struct epoll_event *event)
{
    return epoll_wait(set, event, 1, 0);
}

/* Closes all. */
static void levels(int set, const int ends[2])
{
    struct epoll_event event = { .events = EPOLLIN };
    CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[1], &event) == 0 && write(ends[0], "d", 1) == 1 &&
          epoll_wait(set, &event, 1, LONG) == 1 && events_of_set(set, &event) == 1);
    close_both(ends);
    CHECK(events_of_set(set, &event) == 0 && close(set) == 0);
}

static void edges(void)
{
    int ends[2];
    char buffer[8];
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = 7 };
    connected(ends);
    const int set = epoll_create1(0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &event) == 0 && events_of_set(set, &event) == 0);
    CHECK(write(ends[0], "ab", 2) == 2 && epoll_wait(set, &event, 1, LONG) == 1 &&
          event.events == EPOLLIN && event.data.u32 == 7);
    CHECK(events_of_set(set, &event) == 0 && read(ends[1], buffer, 1) == 1 &&
          events_of_set(set, &event) == 0);
    CHECK(write(ends[0], "c", 1) == 1 && epoll_wait(set, &event, 1, LONG) == 1 &&
          read(ends[1], buffer, 8) == 2);
    levels(set, ends);
}

static void *drain(void *argument)
{
    static char block[65536];
    long total = 0;
    for (ssize_t got; (got = read(*(const int *)argument, block, sizeof block)) > 0;)
        total += got;
    return (void *)total;
}

static void back_pressure(void)
{
    static char block[100000];
    int ends[2];
    void *total;
    long sent = 0;
    pthread_t thread;
    connected(ends);
    wait_no_longer(ends[0]);
    for (ssize_t put; (put = write(ends[0], block, sizeof block)) > 0;)
        sent += put;
    CHECK(errno == EAGAIN && sent > 100000);
    CHECK(fcntl(ends[0], F_SETFL, 0) == 0 && pthread_create(&thread, NULL, drain, &ends[1]) == 0);
    for (int i = 0; i < 30; i++, sent += sizeof block)
        CHECK(write(ends[0], block, sizeof block) == sizeof block);
    CHECK(await(ends[0], POLLOUT) == POLLOUT && shutdown(ends[0], SHUT_WR) == 0);
    CHECK(pthread_join(thread, &total) == 0 && (long)total == sent);
    close_both(ends);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    names();
    refused_names();
    names_for_several();
    bytes();
    parts_of_bytes();
    version_6();
    connecting_without_waiting();
    not_connected();
    queue_of_connections();
    edges();
    back_pressure();
    return DONE();
}
