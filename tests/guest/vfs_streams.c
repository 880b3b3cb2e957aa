/* Pipes, socket pairs and the standard streams. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "events.h"

static void empty_pipe(const int ends[2])
{
    char buffer[1];
    CHECK(fails_with(read(ends[0], buffer, 1), EAGAIN) &&
          fails_with(write(ends[0], "x", 1), EBADF));
    CHECK(events_of(ends[0]) == 0 && events_of(ends[1]) == POLLOUT);
}

static void bytes_through_a_pipe(const int ends[2])
{
    char buffer[102];
    int bytes;
    CHECK(write(ends[1], "hello", 5) == 5 && events_of(ends[0]) == POLLIN);
    CHECK(ioctl(ends[0], FIONREAD, &bytes) == 0 && bytes == 5);
    CHECK(ioctl(ends[1], FIONREAD, &bytes) == 0 && bytes == 5);
    CHECK(read(ends[0], buffer, 2) == 2 && read(ends[0], buffer + 2, 100) == 3 &&
          memcmp(buffer, "hello", 5) == 0);
}

static void pipe_is_no_file(const int ends[2])
{
    char buffer[1];
    struct stat status;
    CHECK(fails_with(lseek(ends[0], 0, SEEK_CUR), ESPIPE) &&
          fails_with(pread(ends[0], buffer, 1, 0), ESPIPE));
    CHECK(fstat(ends[0], &status) == 0 && S_ISFIFO(status.st_mode));
}

/* Fills it and empties it. */
static void full_pipe(const int ends[2])
{
    char buffer[8192];
    long total = 0;
    memset(buffer, 'p', sizeof buffer);
    for (ssize_t put; (put = write(ends[1], buffer, 1000)) > 0;)
        total += put;
    CHECK(errno == EAGAIN && total > 60000 && (events_of(ends[1]) & POLLOUT) == 0);
    CHECK(fails_with(write(ends[1], buffer, PIPE_BUF),
                     EAGAIN)); /* short writes are whole or not at all */
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        total -= got;
    CHECK(total == 0 && errno == EAGAIN);
}

/* Closes both ends. */
static void pipe_without_writers(const int ends[2])
{
    char buffer[10];
    CHECK(write(ends[1], "last", 4) == 4);
    close(ends[1]);
    CHECK(events_of(ends[0]) == (POLLIN | POLLHUP) && read(ends[0], buffer, 10) == 4 &&
          read(ends[0], buffer, 10) == 0);
    CHECK(events_of(ends[0]) == POLLHUP);
    close(ends[0]);
}

static void pipe_without_readers(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
    CHECK(fails_with(write(ends[1], "x", 1), EPIPE) && (events_of(ends[1]) & POLLERR));
    close(ends[1]);
}

static void pipe_into_several_buffers(void)
{
    char buffer[12];
    int ends[2];
    const struct iovec in[2] = { { buffer, 2 }, { buffer + 2, 10 } };
    CHECK(pipe(ends) == 0 && write(ends[1], "ab", 2) == 2 &&
          readv(ends[0], in, 2) == 2); /* does not wait for more */
    close(ends[0]);
    close(ends[1]);
}

static void pipes(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
    empty_pipe(ends);
    bytes_through_a_pipe(ends);
    pipe_is_no_file(ends);
    full_pipe(ends);
    pipe_without_writers(ends);
    pipe_without_readers();
    pipe_into_several_buffers();
}

struct flow {
    int fd;
    size_t bytes;
};

static void *produce(void *argument)
{
    const struct flow *flow = argument;
    static uint8_t block[3000];
    size_t at = 0;
    while (at < flow->bytes) {
        size_t part = flow->bytes - at < sizeof block ? flow->bytes - at : sizeof block;
        for (size_t i = 0; i < part; i++)
            block[i] = (uint8_t)((at + i) * 7 + (at + i) / 256);
        CHECK(write(flow->fd, block, part) == (ssize_t)part);
        at += part;
    }
    close(flow->fd);
    return NULL;
}

/* More than the pipe holds, between two threads. */
static void flows(bool socket)
{
    int ends[2];
    pthread_t thread;
    CHECK(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 : pipe(ends) == 0);
    struct flow flow = { ends[1], 1000003 };
    CHECK(pthread_create(&thread, NULL, produce, &flow) == 0);
    static uint8_t block[4099];
    size_t at = 0;
    bool right = true;
    for (ssize_t got; (got = read(ends[0], block, sizeof block)) > 0; at += (size_t)got)
        for (ssize_t i = 0; i < got; i++)
            right &= block[i] == (uint8_t)((at + (size_t)i) * 7 + (at + (size_t)i) / 256);
    CHECK(right && at == flow.bytes);
    pthread_join(thread, NULL);
    close(ends[0]);
}

static void bytes_both_ways(const int ends[2])
{
    char buffer[64] = "";
    CHECK(send(ends[0], "there", 5, MSG_NOSIGNAL) == 5 && send(ends[1], "back", 4, 0) == 4);
    CHECK(recv(ends[1], buffer, 64, MSG_PEEK) == 5 && recv(ends[1], buffer, 64, 0) == 5 &&
          strcmp(buffer, "there") == 0);
    CHECK(recv(ends[0], buffer, 64, MSG_DONTWAIT) == 4 &&
          fails_with(recv(ends[0], buffer, 1, 0), EAGAIN));
}

static void messages_of_several_buffers(const int ends[2])
{
    char buffer[10] = "", other[4] = "";
    struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } }, in[2] = { { other, 3 }, { buffer, 10 } };
    struct msghdr message = { .msg_iov = out, .msg_iovlen = 2 };
    CHECK(sendmsg(ends[0], &message, 0) == 7);
    message = (struct msghdr){ .msg_iov = in, .msg_iovlen = 2 };
    CHECK(recvmsg(ends[1], &message, 0) == 7 && strcmp(other, "abc") == 0 &&
          memcmp(buffer, "defg", 4) == 0 && message.msg_flags == 0);
}

static void socket_options(int fd)
{
    int value = 0;
    socklen_t length = sizeof value;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length) == 0 && value == AF_UNIX);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length) == 0 && value == 0);
}

static void socket_name(int fd)
{
    struct sockaddr_un name;
    socklen_t length = sizeof name;
    CHECK(getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.sun_family == AF_UNIX &&
          length == sizeof name.sun_family);
}

/* First one way, then both; closes both ends. */
static void socket_shutdown(const int ends[2])
{
    char buffer[64];
    CHECK(events_of(ends[0]) == POLLOUT);
    CHECK(shutdown(ends[0], SHUT_WR) == 0 && read(ends[1], buffer, 1) == 0 &&
          fails_with(write(ends[0], "x", 1), EPIPE));
    CHECK(events_of(ends[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    CHECK(write(ends[1], "still", 5) == 5 && read(ends[0], buffer, 64) == 5);
    CHECK(shutdown(ends[0], SHUT_RDWR) == 0 && shutdown(ends[1], SHUT_RDWR) == 0);
    CHECK(close(ends[0]) == 0 && fails_with(write(ends[1], "x", 1), EPIPE) &&
          read(ends[1], buffer, 1) == 0 && close(ends[1]) == 0);
}

static void socket_without_a_peer(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && close(ends[0]) == 0);
    CHECK((events_of(ends[1]) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP) && close(ends[1]) == 0);
}

static void no_sockets(void)
{
    char buffer[1];
    CHECK(fails_with(recv(1, buffer, 1, 0), ENOTSOCK) && fails_with(shutdown(999, SHUT_RD), EBADF));
}

static void sockets(void)
{
    int ends[2];
    struct stat status;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(fstat(ends[0], &status) == 0 && S_ISSOCK(status.st_mode));
    bytes_both_ways(ends);
    messages_of_several_buffers(ends);
    socket_options(ends[0]);
    socket_name(ends[0]);
    socket_shutdown(ends);
    socket_without_a_peer();
    no_sockets();
}

static void standard(void)
{
    char buffer[4];
    if (getenv("ON_LINUX"))
        return;
    CHECK(read(0, buffer, 4) == 0 && !isatty(0) && !isatty(1) && !isatty(2));
    CHECK(fails_with(write(0, "x", 1), EBADF) && fails_with(read(1, buffer, 1), EBADF) &&
          fails_with(lseek(1, 0, SEEK_CUR), ESPIPE));
    CHECK((events_of(0) & POLLIN) && events_of(1) == POLLOUT);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    pipes();
    flows(false);
    flows(true);
    sockets();
    standard();
    return DONE();
}
