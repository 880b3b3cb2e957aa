/* How connections of TCP end, and their urgent data. */
#define _GNU_SOURCE
#include <signal.h>

#include "sockets.h"

static void halves(void)
{
    int ends[2];
    char buffer[8];
    connected(ends);
    CHECK(write(ends[0], "last", 4) == 4 && shutdown(ends[0], SHUT_WR) == 0);
    CHECK(await(ends[1], POLLIN | POLLRDHUP) == (POLLIN | POLLRDHUP | POLLOUT));
    CHECK(read(ends[1], buffer, 8) == 4 && read(ends[1], buffer, 8) == 0 &&
          read(ends[1], buffer, 8) == 0);
    CHECK(fails_with(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE));
    CHECK(write(ends[1], "back", 4) == 4 && recv(ends[0], buffer, 4, MSG_WAITALL) == 4);
    CHECK(shutdown(ends[0], SHUT_RD) == 0 && read(ends[0], buffer, 8) == 0);
    CHECK(shutdown(ends[1], SHUT_WR) == 0 && await(ends[1], POLLHUP));
    CHECK(fails_with(shutdown(ends[1], 3), EINVAL));
    close_both(ends);
}

static void end_of_the_peer(void)
{
    int ends[2];
    char buffer[8];
    connected(ends);
    CHECK(write(ends[0], "last", 4) == 4 && close(ends[0]) == 0);
    await(ends[1], POLLRDHUP);
    CHECK(read(ends[1], buffer, 8) == 4 && read(ends[1], buffer, 8) == 0);
    CHECK(write(ends[1], "x", 1) == 1); /* the first is sent, and answered */
    CHECK(await(ends[1], POLLERR | POLLHUP) && fails_with(write(ends[1], "x", 1), EPIPE));
    CHECK(read(ends[1], buffer, 8) == 0 && close(ends[1]) == 0);
}

static void reset(bool linger)
{
    int ends[2];
    char buffer[8];
    const struct linger at_once = { 1, 0 };
    connected(ends);
    if (linger)
        CHECK(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    else
        CHECK(write(ends[1], "unread", 6) == 6 && await(ends[0], POLLIN));
    CHECK(write(ends[0], "late", 4) == 4 && await(ends[1], POLLIN) && close(ends[0]) == 0);
    await(ends[1], POLLERR | POLLHUP | POLLIN | POLLRDHUP);
    CHECK(read(ends[1], buffer, 8) == 4 && fails_with(read(ends[1], buffer, 8), ECONNRESET) &&
          read(ends[1], buffer, 8) == 0);
    CHECK(fails_with(write(ends[1], "x", 1), EPIPE) && close(ends[1]) == 0);
}

static void listener_that_goes(void)
{
    char byte;
    const int listener = listening(), client = opened(AF_INET, SOCK_STREAM);
    const unsigned port = port_of(listener);
    CHECK(connect_to(client, at("127.0.0.1", port)) == 0 && close(listener) == 0);
    await(client, POLLERR);
    CHECK(fails_with(read(client, &byte, 1), ECONNRESET) && close(client) == 0);
}

static void send_urgent(int fd)
{
    CHECK(write(fd, "ab", 2) == 2 && send(fd, "cd", 2, MSG_OOB) == 2 && write(fd, "ef", 2) == 2);
}

/* A read goes up to the mark. */
static void read_to_mark(int fd)
{
    int at_mark;
    char buffer[16];
    for (int waiting = 0; waiting < 3;)
        CHECK(ioctl(fd, FIONREAD, &waiting) == 0);
    CHECK(read(fd, buffer, 16) == 3 && memcmp(buffer, "abc", 3) == 0 &&
          ioctl(fd, SIOCATMARK, &at_mark) == 0 && at_mark == 1);
}

static void urgent_byte(void)
{
    int ends[2];
    char buffer[16] = "";
    connected(ends);
    CHECK(fails_with(recv(ends[1], buffer, 1, MSG_OOB), EINVAL));
    send_urgent(ends[0]);
    struct pollfd entry = { ends[1], POLLPRI, 0 };
    CHECK(poll(&entry, 1, LONG) == 1 && entry.revents == POLLPRI);
    read_to_mark(ends[1]);
    CHECK(recv(ends[1], buffer, 1, MSG_OOB) == 1 && buffer[0] == 'd' &&
          fails_with(recv(ends[1], buffer, 1, MSG_OOB), EINVAL));
    await(ends[1], POLLIN);
    CHECK(recv(ends[1], buffer, 2, MSG_WAITALL) == 2 && memcmp(buffer, "ef", 2) == 0);
    close_both(ends);
}

static void urgent_byte_in_the_stream(void)
{
    int ends[2];
    char buffer[16] = "";
    connected(ends);
    CHECK(set_option(ends[1], SOL_SOCKET, SO_OOBINLINE, 1) == 0);
    send_urgent(ends[0]);
    read_to_mark(ends[1]);
    CHECK(recv(ends[1], buffer, 3, MSG_WAITALL) == 3 && memcmp(buffer, "def", 3) == 0);
    close_both(ends);
}

static int pipe_signals;
static void count_signal(int number)
{
    pipe_signals += number == SIGPIPE;
}

static void broken_pipes(void)
{
    int ends[2];
    struct sigaction old, counted = { .sa_handler = count_signal };
    CHECK(sigaction(SIGPIPE, &counted, &old) == 0);
    connected(ends);
    CHECK(shutdown(ends[0], SHUT_WR) == 0 &&
          fails_with(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE) && pipe_signals == 0);
    CHECK(fails_with(send(ends[0], "x", 1, 0), EPIPE) && pipe_signals == 1);
    CHECK(fails_with(write(ends[0], "x", 1), EPIPE) && pipe_signals == 2);
    close_both(ends);
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0 && fails_with(write(ends[1], "x", 1), EPIPE) &&
          pipe_signals == 3 && close(ends[1]) == 0);
    CHECK(sigaction(SIGPIPE, &old, NULL) == 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    halves();
    end_of_the_peer();
    reset(false);
    reset(true);
    listener_that_goes();
    urgent_byte();
    urgent_byte_in_the_stream();
    broken_pipes();
    return DONE();
}
