/* Counters of eventfd, and waiting for them and for pipes: poll, select, epoll. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "events.h"

#define WATCH_DATA 0x123456789abcdef0ul /* what a program keeps with a watched file */

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

static int control(int set, int operation, int fd, uint32_t events, uint64_t data)
{
    return epoll_ctl(set, operation, fd, &(struct epoll_event){ events, { .u64 = data } });
}

/* The set watches the first end already. */
static void refused_watching(int set, const int ends[2])
{
    struct epoll_event event = { .events = EPOLLIN };
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), EEXIST) &&
          fails_with(epoll_ctl(set, EPOLL_CTL_DEL, ends[1], NULL), ENOENT));
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL) &&
          fails_with(epoll_ctl(set, EPOLL_CTL_ADD, 999, &event), EBADF));
    CHECK(fails_with(epoll_ctl(1, EPOLL_CTL_ADD, ends[0], &event), EINVAL) &&
          fails_with(epoll_wait(set, &event, 0, 0), EINVAL));
    int file = open("/tmp", O_RDONLY);
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM));
    close(file);
}

static void watched_set(int set, int outer)
{
    struct epoll_event event = { .events = EPOLLIN };
    CHECK(control(outer, EPOLL_CTL_ADD, set, EPOLLIN, (uint64_t)set) == 0);
    CHECK(fails_with(epoll_ctl(set, EPOLL_CTL_ADD, outer, &event), ELOOP));
    CHECK(wait_once(set, &event) == 0 && wait_once(outer, &event) == 0);
}

static void level_triggered(int set, int outer, const int ends[2])
{
    struct epoll_event event;
    CHECK(write(ends[1], "ab", 2) == 2);
    CHECK(wait_once(outer, &event) == 1 && event.data.fd == set);
    CHECK(wait_once(set, &event) == 1 && event.events == EPOLLIN && event.data.u64 == WATCH_DATA);
    CHECK(wait_once(set, &event) == 1);
}

static void edge_triggered(int set, const int ends[2])
{
    struct epoll_event event;
    CHECK(control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 1) == 0);
    CHECK(wait_once(set, &event) == 1 && wait_once(set, &event) == 0 &&
          write(ends[1], "c", 1) == 1 && wait_once(set, &event) == 1);
    CHECK(wait_once(set, &event) == 0);
}

static void one_shot(int set, const int ends[2])
{
    struct epoll_event event;
    CHECK(control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 1) == 0);
    CHECK(wait_once(set, &event) == 1 && write(ends[1], "d", 1) == 1 &&
          wait_once(set, &event) == 0);
}

/* Where both ends are ready, each has its turn. */
static void both_ends(int set, const int ends[2])
{
    struct epoll_event event, events[4];
    CHECK(control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN, 1) == 0);
    CHECK(control(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT, 2) == 0);
    int first = wait_once(set, &event) == 1 ? event.data.fd : 0,
        second = wait_once(set, &event) == 1 ? event.data.fd : 0;
    CHECK(first + second == 3);
    CHECK(epoll_wait(set, events, 4, 0) == 2);
}

/* Leaves a set that watches nothing. */
static void closed_ends(int set, int ends[2])
{
    struct epoll_event events[4];
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
}

static void watching(void)
{
    struct epoll_event event;
    int ends[2], set = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(0);
    CHECK(pipe(ends) == 0 && set >= 0);
    CHECK(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, WATCH_DATA) == 0);
    refused_watching(set, ends);
    watched_set(set, outer);
    level_triggered(set, outer, ends);
    edge_triggered(set, ends);
    one_shot(set, ends);
    both_ends(set, ends);
    closed_ends(set, ends);
    close(set);
    CHECK(wait_once(outer, &event) == 0);
    close(outer);
}

int main(void)
{
    counters();
    polling();
    watching();
    return DONE();
}
