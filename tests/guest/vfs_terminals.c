/* Pairs of pseudo terminals. Line discipline, settings and hang-up are those of Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pty.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "check.h"
#include "events.h"

static int master, slave;
static char buffer[20000];

static void type(const char *text)
{
    CHECK(write(master, text, strlen(text)) == (ssize_t)strlen(text));
}

static bool reads(int fd, const char *text)
{
    const ssize_t length = read(fd, buffer, sizeof buffer);
    const bool same = length == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
    if (!same)
        printf("read %zd: %.*s\n", length, length > 0 ? (int)length : 0, buffer);
    return same;
}

static struct termios settings(void)
{
    struct termios settings;
    CHECK(tcgetattr(slave, &settings) == 0);
    return settings;
}

static void set(struct termios settings)
{
    CHECK(tcsetattr(slave, TCSANOW, &settings) == 0);
}

static void opened(void)
{
    char name[64];
    struct stat status;
    struct winsize size = { .ws_row = 30, .ws_col = 100 }, found;
    CHECK(openpty(&master, &slave, name, NULL, &size) == 0);
    CHECK(strncmp(name, "/dev/pts/", 9) == 0 && isatty(master) && isatty(slave));
    CHECK(strcmp(ttyname(slave), name) == 0 && strcmp(ptsname(master), name) == 0);
    CHECK(stat(name, &status) == 0 && S_ISCHR(status.st_mode) && major(status.st_rdev) == 136);
    CHECK(ioctl(master, TIOCGWINSZ, &found) == 0 && found.ws_col == 100 && found.ws_row == 30);
    size.ws_col = 50;
    CHECK(ioctl(slave, TIOCSWINSZ, &size) == 0 && ioctl(master, TIOCGWINSZ, &found) == 0 &&
          found.ws_col == 50);
    CHECK(fails_with(lseek(slave, 0, SEEK_SET), ESPIPE) && fails_with(tcgetpgrp(slave), ENOTTY));
    int other = open(name, O_RDWR | O_NOCTTY);
    CHECK(other >= 0 && close(other) == 0);
}

static void locked_pair(void)
{
    int other = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(other >= 0 && fails_with(open(ptsname(other), O_RDWR | O_NOCTTY), EIO));
    CHECK(grantpt(other) == 0 && unlockpt(other) == 0);
    int end = open(ptsname(other), O_RDWR | O_NOCTTY);
    CHECK(end >= 0 && isatty(end));
    close(end);
    close(other);
}

static void lines(void)
{
    CHECK(events_of(slave) == POLLOUT);
    type("one");
    CHECK(events_of(slave) == POLLOUT && reads(master, "one"));
    type("\rtwo\nrest");
    CHECK(events_of(slave) == (POLLIN | POLLOUT));
    CHECK(read(slave, buffer, 2) == 2 && reads(slave, "e\n") && reads(slave, "two\n"));
    CHECK(reads(master, "\r\ntwo\r\nrest"));
    type("\4");
    CHECK(reads(slave, "rest"));
    type("\4");
    CHECK(read(slave, buffer, 10) == 0);
    CHECK(write(slave, "shown\n", 6) == 6 && reads(master, "shown\r\n"));
}

static void editing(void)
{
    type("abc\177\177x\n");
    CHECK(reads(slave, "ax\n") && reads(master, "abc\b \b\b \bx\r\n"));
    type("one two\27three\n");
    CHECK(reads(slave, "one three\n") && reads(master, "one two\b \b\b \b\b \bthree\r\n"));
    type("line\25next\n");
    CHECK(reads(slave, "next\n") && reads(master, "line\b \b\b \b\b \b\b \bnext\r\n"));
    type("a\26\4b\1\n");
    CHECK(reads(slave, "a\4b\1\n") && reads(master, "a^\b^Db^A\r\n"));
    type("\177\25\n");
    CHECK(reads(slave, "\n") && reads(master, "\r\n"));
}

static void without_echo(void)
{
    const struct termios before = settings();
    struct termios quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    set(quiet);
    type("secret\n");
    CHECK(reads(slave, "secret\n") && events_of(master) == POLLOUT);
    quiet.c_lflag |= ECHONL;
    quiet.c_oflag &= ~(tcflag_t)ONLCR;
    set(quiet);
    type("x\n");
    CHECK(reads(slave, "x\n") && reads(master, "\n"));
    set(before);
}

static void raw(void)
{
    const struct termios before = settings();
    struct termios raw = before, found;
    type("part");
    CHECK(reads(master, "part"));
    cfmakeraw(&raw);
    set(raw);
    CHECK(reads(slave, "part"));
    CHECK(tcgetattr(master, &found) == 0 && found.c_lflag == raw.c_lflag);
    type("a\r\3\177");
    CHECK(reads(slave, "a\r\3\177") && events_of(master) == POLLOUT);
    CHECK(write(slave, "\n", 1) == 1 && reads(master, "\n"));
    raw.c_cc[VMIN] = 0;
    set(raw);
    CHECK(read(slave, buffer, 10) == 0);
    raw.c_cc[VTIME] = 1;
    set(raw);
    CHECK(read(slave, buffer, 10) == 0);
    raw.c_cc[VMIN] = 3;
    set(raw);
    type("ab");
    CHECK(reads(slave, "ab"));
    type("left");
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    set(before);
}

static void tabs(void)
{
    const struct termios before = settings();
    struct termios expanding = before;
    expanding.c_oflag |= XTABS;
    set(expanding);
    CHECK(write(slave, "\rab\tc\n", 6) == 6 && reads(master, "\rab      c\r\n"));
    set(before);
}

static void *answers(void *argument)
{
    CHECK(reads(master, "question? "));
    type("answer\n");
    return argument;
}

static void waiting(void)
{
    pthread_t thread;
    CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0 && fails_with(read(slave, buffer, 1), EAGAIN) &&
          fcntl(slave, F_SETFL, 0) == 0);
    CHECK(pthread_create(&thread, NULL, answers, NULL) == 0);
    CHECK(write(slave, "question? ", 10) == 10 && reads(slave, "answer\n"));
    CHECK(pthread_join(thread, NULL) == 0 && reads(master, "answer\r\n"));
}

static void hang_up(void)
{
    CHECK(write(slave, "last", 4) == 4 && close(slave) == 0 && reads(master, "last"));
    CHECK((events_of(master) & POLLHUP) && fails_with(read(master, buffer, 1), EIO));
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0 && events_of(master) == POLLOUT && close(master) == 0);
    CHECK((events_of(slave) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP) &&
          read(slave, buffer, 1) == 0 && fails_with(write(slave, "x", 1), EIO));
    close(slave);
}

int main(void)
{
    CHECK(fails_with(open("/dev/pts/999", O_RDWR), ENOENT));
    opened();
    locked_pair();
    lines();
    editing();
    without_echo();
    raw();
    tabs();
    waiting();
    hang_up();
    return DONE();
}
