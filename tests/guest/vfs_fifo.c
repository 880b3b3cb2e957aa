/* FIFOs, and the capacity of pipes. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "events.h"

static char buffer[1 << 17];

static void names(void)
{
    struct stat status;
    CHECK(mkfifo("fifo", 0640) == 0 && stat("fifo", &status) == 0);
    CHECK(S_ISFIFO(status.st_mode) && (status.st_mode & 0777) == 0640 && status.st_size == 0);
    CHECK(fails_with(mkfifo("fifo", 0600), EEXIST) && fails_with(mkfifo("no/fifo", 0600), ENOENT));
    CHECK(fails_with(open("fifo", O_RDONLY | O_DIRECTORY), ENOTDIR));
    CHECK(fails_with(truncate("fifo", 0), EINVAL) && chmod("fifo", 0600) == 0);
    CHECK(fails_with(mknod("wrong", 0030000, 0), EINVAL));
}

static void other_kinds(void)
{
    struct stat status;
    CHECK(mknod("plain", S_IFREG | 0600, 0) == 0 && stat("plain", &status) == 0 &&
          S_ISREG(status.st_mode) && unlink("plain") == 0);
    CHECK(mknod("socket", S_IFSOCK | 0600, 0) == 0 && fails_with(open("socket", O_RDWR), ENXIO) &&
          unlink("socket") == 0);
}

static void listing_and_path(void)
{
    struct stat status;
    DIR *folder = opendir(".");
    int found = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        found += strcmp(entry->d_name, "fifo") == 0 && entry->d_type == DT_FIFO;
    CHECK(closedir(folder) == 0 && found == 1);
    int path = open("fifo", O_PATH);
    CHECK(path >= 0 && fstat(path, &status) == 0 && S_ISFIFO(status.st_mode));
    CHECK(fails_with(read(path, buffer, 1), EBADF) && close(path) == 0);
}

/* Closes the reader. */
static void after_the_writer(int reader)
{
    CHECK(read(reader, buffer, 10) == 5 && memcmp(buffer, "bytes", 5) == 0);
    CHECK(read(reader, buffer, 10) == 0 && events_of(reader) == POLLHUP);
    int writer = open("fifo", O_WRONLY);
    CHECK(events_of(reader) == 0 && write(writer, "again", 5) == 5 && close(reader) == 0);
    CHECK(events_of(writer) == (POLLOUT | POLLERR) && fails_with(write(writer, "x", 1), EPIPE));
    close(writer);
}

static void with_a_writer(int reader)
{
    int writer = open("fifo", O_WRONLY | O_NONBLOCK);
    CHECK(writer >= 0 && events_of(writer) == POLLOUT &&
          fails_with(read(reader, buffer, 10), EAGAIN));
    CHECK(write(writer, "bytes", 5) == 5 && events_of(reader) == POLLIN);
    CHECK(fails_with(lseek(reader, 0, SEEK_SET), ESPIPE) &&
          fails_with(read(writer, buffer, 1), EBADF));
    CHECK(close(writer) == 0 && events_of(reader) == (POLLIN | POLLHUP));
}

static void without_waiting(void)
{
    CHECK(fails_with(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO));
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0 && events_of(reader) == 0 && read(reader, buffer, 10) == 0);
    with_a_writer(reader);
    after_the_writer(reader);
}

/* What was left in it goes with the last end. */
static void with_both_ends(void)
{
    int both = open("fifo", O_RDWR), reader = open("fifo", O_RDONLY);
    CHECK(both >= 0 && reader >= 0 && events_of(both) == POLLOUT);
    CHECK(write(both, "kept", 4) == 4 && events_of(both) == (POLLIN | POLLOUT));
    CHECK(read(reader, buffer, 2) == 2 && read(both, buffer + 2, 2) == 2 &&
          memcmp(buffer, "kept", 4) == 0);
    CHECK(write(both, "lost", 4) == 4 && close(both) == 0 && close(reader) == 0);
    both = open("fifo", O_RDWR | O_NONBLOCK);
    CHECK(fails_with(read(both, buffer, 4), EAGAIN) && unlink("fifo") == 0);
    CHECK(write(both, "name", 4) == 4 && read(both, buffer, 8) == 4 && close(both) == 0);
}

static void *writes(void *argument)
{
    int writer = open("meeting", O_WRONLY);
    CHECK(writer >= 0 && write(writer, argument, strlen(argument)) > 0);
    close(writer);
    return NULL;
}

static void *reads(void *argument)
{
    int reader = open("meeting", O_RDONLY);
    CHECK(reader >= 0 && read(reader, argument, 16) == 4);
    close(reader);
    return NULL;
}

static void waiting_for_each_other(void)
{
    char text[17] = "";
    pthread_t thread;
    CHECK(mkfifo("meeting", 0600) == 0);
    CHECK(pthread_create(&thread, NULL, writes, "one") == 0);
    int reader = open("meeting", O_RDONLY);
    CHECK(read(reader, buffer, 10) == 3 && memcmp(buffer, "one", 3) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && read(reader, buffer, 10) == 0 && close(reader) == 0);
    CHECK(pthread_create(&thread, NULL, reads, text) == 0);
    int writer = open("meeting", O_WRONLY);
    CHECK(write(writer, "four", 4) == 4 && pthread_join(thread, NULL) == 0);
    CHECK(strcmp(text, "four") == 0 && fails_with(write(writer, "x", 1), EPIPE));
    CHECK(close(writer) == 0 && unlink("meeting") == 0);
}

static int fill(int fd)
{
    int total = 0;
    for (ssize_t put; (put = write(fd, buffer, 4096)) > 0;)
        total += (int)put;
    CHECK(errno == EAGAIN);
    return total;
}

static void capacity(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0 && fcntl(ends[0], F_GETPIPE_SZ) == 65536);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 5000) == 8192 && fcntl(ends[0], F_GETPIPE_SZ) == 8192);
    CHECK(fill(ends[1]) == 8192 && fails_with(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY));
    CHECK(fcntl(ends[0], F_SETPIPE_SZ, 1 << 18) == 1 << 18 && fill(ends[1]) == (1 << 18) - 8192);
    CHECK(read(ends[0], buffer, sizeof buffer) == sizeof buffer);
    CHECK(fails_with(fcntl(0x3ff, F_GETPIPE_SZ), EBADF));
    int file = open("file", O_RDWR | O_CREAT, 0600);
    CHECK(fails_with(fcntl(file, F_GETPIPE_SZ), EBADF) && unlink("file") == 0);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    char directory[] = "/tmp/fifo-XXXXXX";
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    names();
    other_kinds();
    listing_and_path();
    without_waiting();
    with_both_ends();
    waiting_for_each_other();
    capacity();
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
