/* Pipes, socket pairs, eventfd, and waiting for them: poll, select, epoll. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static bool fails_with(long result, int number)
{
    return result == -1 && errno == number;
}

static int events_of(int fd)
{
    struct pollfd entry = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
    CHECK(poll(&entry, 1, 0) >= 0);
    return entry.revents;
}

static void pipes(void)
{
    char buffer[8192];
    struct stat status;
    int ends[2], bytes;
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
    CHECK(fails_with(read(ends[0], buffer, 1), EAGAIN) &&
          fails_with(write(ends[0], "x", 1), EBADF));
    CHECK(events_of(ends[0]) == 0 && events_of(ends[1]) == POLLOUT);
    CHECK(write(ends[1], "hello", 5) == 5 && events_of(ends[0]) == POLLIN);
    CHECK(ioctl(ends[0], FIONREAD, &bytes) == 0 && bytes == 5);
    CHECK(read(ends[0], buffer, 2) == 2 && read(ends[0], buffer + 2, 100) == 3 &&
          memcmp(buffer, "hello", 5) == 0);
    CHECK(fails_with(lseek(ends[0], 0, SEEK_CUR), ESPIPE) &&
          fails_with(pread(ends[0], buffer, 1, 0), ESPIPE));
    CHECK(fstat(ends[0], &status) == 0 && S_ISFIFO(status.st_mode));
    long total = 0;
    memset(buffer, 'p', sizeof buffer);
    for (ssize_t put; (put = write(ends[1], buffer, 1000)) > 0;)
        total += put;
    CHECK(errno == EAGAIN && total > 60000 && (events_of(ends[1]) & POLLOUT) == 0);
    CHECK(fails_with(write(ends[1], buffer, 4096),
                     EAGAIN)); /* short writes are whole or not at all */
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        total -= got;
    CHECK(total == 0 && errno == EAGAIN && write(ends[1], "last", 4) == 4);
    close(ends[1]);
    CHECK(events_of(ends[0]) == (POLLIN | POLLHUP) && read(ends[0], buffer, 10) == 4 &&
          read(ends[0], buffer, 10) == 0);
    CHECK(events_of(ends[0]) == POLLHUP);
    close(ends[0]);
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
    CHECK(fails_with(write(ends[1], "x", 1), EPIPE) && (events_of(ends[1]) & POLLERR));
    close(ends[1]);
    const struct iovec in[2] = { { buffer, 2 }, { buffer + 2, 10 } };
    CHECK(pipe(ends) == 0 && write(ends[1], "ab", 2) == 2 &&
          readv(ends[0], in, 2) == 2); /* does not wait for more */
    close(ends[0]);
    close(ends[1]);
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

static void sockets(void)
{
    char buffer[64] = "", other[4] = "";
    int ends[2], value = 0;
    socklen_t length = sizeof value;
    struct stat status;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(fstat(ends[0], &status) == 0 && S_ISSOCK(status.st_mode));
    CHECK(send(ends[0], "there", 5, MSG_NOSIGNAL) == 5 && send(ends[1], "back", 4, 0) == 4);
    CHECK(recv(ends[1], buffer, 64, MSG_PEEK) == 5 && recv(ends[1], buffer, 64, 0) == 5 &&
          strcmp(buffer, "there") == 0);
    CHECK(recv(ends[0], buffer, 64, MSG_DONTWAIT) == 4 &&
          fails_with(recv(ends[0], buffer, 1, 0), EAGAIN));
    struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } }, in[2] = { { other, 3 }, { buffer, 10 } };
    struct msghdr message = { .msg_iov = out, .msg_iovlen = 2 };
    CHECK(sendmsg(ends[0], &message, 0) == 7);
    message = (struct msghdr){ .msg_iov = in, .msg_iovlen = 2 };
    CHECK(recvmsg(ends[1], &message, 0) == 7 && strcmp(other, "abc") == 0 &&
          memcmp(buffer, "defg", 4) == 0 && message.msg_flags == 0);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_DOMAIN, &value, &length) == 0 && value == AF_UNIX);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_ERROR, &value, &length) == 0 && value == 0);
    struct sockaddr_un name;
    length = sizeof name;
    CHECK(getsockname(ends[0], (struct sockaddr *)&name, &length) == 0 &&
          name.sun_family == AF_UNIX && length == sizeof name.sun_family);
    CHECK(events_of(ends[0]) == POLLOUT);
    CHECK(shutdown(ends[0], SHUT_WR) == 0 && read(ends[1], buffer, 1) == 0 &&
          fails_with(write(ends[0], "x", 1), EPIPE));
    CHECK(events_of(ends[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    CHECK(write(ends[1], "still", 5) == 5 && read(ends[0], buffer, 64) == 5);
    CHECK(shutdown(ends[0], SHUT_RDWR) == 0 && shutdown(ends[1], SHUT_RDWR) == 0);
    CHECK(close(ends[0]) == 0 && fails_with(write(ends[1], "x", 1), EPIPE) &&
          read(ends[1], buffer, 1) == 0 && close(ends[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && close(ends[0]) == 0);
    CHECK((events_of(ends[1]) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP) && close(ends[1]) == 0);
    CHECK(fails_with(recv(1, buffer, 1, 0), ENOTSOCK) && fails_with(shutdown(999, SHUT_RD), EBADF));
}

static void *add_later(void *argument)
{
    usleep(2000);
    CHECK(eventfd_write(*(int *)argument, 5) == 0);
    return NULL;
}

static void counters(void)
{
    eventfd_t value;
    pthread_t thread;
    int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(eventfd_read(fd, &value) == 0 && value == 3 &&
          fails_with(eventfd_read(fd, &value), EAGAIN));
    CHECK(eventfd_write(fd, UINT64_MAX - 1) == 0 && fails_with(eventfd_write(fd, 1), EAGAIN) &&
          events_of(fd) == POLLIN);
    CHECK(eventfd_read(fd, &value) == 0 && value == UINT64_MAX - 1 && events_of(fd) == POLLOUT);
    CHECK(fails_with(read(fd, &value, 4), EINVAL) &&
          fails_with(eventfd_write(fd, UINT64_MAX), EINVAL));
    close(fd);
    fd = eventfd(2, EFD_SEMAPHORE);
    CHECK(eventfd_read(fd, &value) == 0 && value == 1 && eventfd_read(fd, &value) == 0 &&
          value == 1);
    CHECK(pthread_create(&thread, NULL, add_later, &fd) == 0);
    CHECK(eventfd_read(fd, &value) == 0 && value == 1);
    pthread_join(thread, NULL);
    close(fd);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void polling(void)
{
    int ends[2], fd = eventfd(0, 0);
    fd_set in, out;
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    struct pollfd entries[4] = {
        { ends[0], POLLIN, 9 }, { ends[1], POLLOUT, 9 }, { -1, POLLIN, 9 }, { 999, POLLIN, 9 }
    };
    CHECK(poll(entries, 4, 1000) == 2);
    CHECK(entries[0].revents == 0 && entries[1].revents == POLLOUT && entries[2].revents == 0 &&
          entries[3].revents == POLLNVAL);
    double start = now();
    CHECK(poll(entries, 1, 30) == 0 && now() - start >= 0.03);
    CHECK(ppoll(entries, 1, &(struct timespec){ 0, 1000000 }, NULL) == 0);
    CHECK(fails_with(ppoll(entries, 1, &(struct timespec){ 0, -1 }, NULL), EINVAL));
    CHECK(pthread_create(&thread, NULL, add_later, &fd) == 0);
    entries[0] = (struct pollfd){ fd, POLLIN, 0 };
    CHECK(poll(entries, 1, -1) == 1 && entries[0].revents == POLLIN);
    pthread_join(thread, NULL);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    FD_SET(fd, &in);
    FD_SET(ends[1], &out);
    CHECK(select(fd + 10, &in, &out, NULL, NULL) == 2 && !FD_ISSET(ends[0], &in) &&
          FD_ISSET(fd, &in) && FD_ISSET(ends[1], &out));
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    start = now();
    CHECK(select(ends[0] + 1, &in, NULL, NULL, &(struct timeval){ 0, 20000 }) == 0 &&
          now() - start >= 0.02 && !FD_ISSET(ends[0], &in));
    CHECK(pselect(0, NULL, NULL, NULL, &(struct timespec){ 0, 1000 }, NULL) == 0);
    FD_SET(40, &in);
    CHECK(fails_with(select(41, &in, NULL, NULL, &(struct timeval){ 0, 0 }), EBADF));
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static int wait_once(int set, struct epoll_event *event)
{
    return epoll_wait(set, event, 1, 0);
}

static void watching(void)
{
    struct epoll_event event, events[4];
    int ends[2], set = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(0);
    CHECK(pipe(ends) == 0 && set >= 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0],
                    &(struct epoll_event){ EPOLLIN, { .u64 = 0x123456789abcdef0 } }) == 0);
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), EEXIST) &&
          fails_with(epoll_ctl(set, EPOLL_CTL_DEL, ends[1], NULL), ENOENT));
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL) &&
          fails_with(epoll_ctl(set, EPOLL_CTL_ADD, 999, &event), EBADF));
    CHECK(fails_with(epoll_ctl(1, EPOLL_CTL_ADD, ends[0], &event), EINVAL) &&
          fails_with(epoll_wait(set, &event, 0, 0), EINVAL));
    int file = open("/tmp", O_RDONLY);
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM));
    close(file);
    CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, set, &(struct epoll_event){ EPOLLIN, { .fd = set } }) ==
          0);
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, outer, &event), ELOOP));
    CHECK(wait_once(set, &event) == 0 && wait_once(outer, &event) == 0);
    CHECK(write(ends[1], "ab", 2) == 2);
    CHECK(wait_once(outer, &event) == 1 && event.data.fd == set);
    CHECK(wait_once(set, &event) == 1 && event.events == EPOLLIN &&
          event.data.u64 == 0x123456789abcdef0);
    CHECK(wait_once(set, &event) == 1); /* level-triggered */
    CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0],
                    &(struct epoll_event){ EPOLLIN | EPOLLET, { .fd = 1 } }) == 0);
    CHECK(wait_once(set, &event) == 1 && wait_once(set, &event) == 0 &&
          write(ends[1], "c", 1) == 1 && wait_once(set, &event) == 1);
    CHECK(wait_once(set, &event) == 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0],
                    &(struct epoll_event){ EPOLLIN | EPOLLONESHOT, { .fd = 1 } }) == 0);
    CHECK(wait_once(set, &event) == 1 && write(ends[1], "d", 1) == 1 &&
          wait_once(set, &event) == 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &(struct epoll_event){ EPOLLIN, { .fd = 1 } }) ==
          0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &(struct epoll_event){ EPOLLOUT, { .fd = 2 } }) ==
          0);
    int first = wait_once(set, &event) == 1 ? event.data.fd : 0,
        second = wait_once(set, &event) == 1 ? event.data.fd : 0;
    CHECK(first + second == 3); /* each has its turn */
    CHECK(epoll_wait(set, events, 4, 0) == 2);
    int copy = dup(ends[0]);
    close(ends[0]);
    CHECK(epoll_wait(set, events, 4, 0) == 2); /* the open file is still there */
    close(copy);
    CHECK(epoll_wait(set, events, 4, 0) == 1 && events[0].events == (EPOLLOUT | EPOLLERR));
    close(ends[1]);
    CHECK(epoll_wait(set, events, 4, 0) == 0 && pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    CHECK(epoll_wait(set, events, 4, 0) == 0); /* a new file under an old number is not watched */
    double start = now();
    CHECK(epoll_wait(set, events, 4, 20) == 0 && now() - start >= 0.02);
    close(ends[0]);
    close(ends[1]);
    close(set);
    CHECK(wait_once(outer, &event) == 0);
    close(outer);
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
    counters();
    polling();
    watching();
    standard();
    return DONE();
}
