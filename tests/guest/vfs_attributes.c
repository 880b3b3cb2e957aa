/* What files have besides contents and modes: extended attributes, seals, locks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096

static char buffer[70000];

static void one_attribute(int fd)
{
    CHECK(setxattr("file", "user.one", "value", 5, XATTR_CREATE) == 0);
    CHECK(getxattr("file", "user.one", buffer, 10) == 5 && memcmp(buffer, "value", 5) == 0);
    CHECK(fgetxattr(fd, "user.one", NULL, 0) == 5);
    CHECK(fails_with(getxattr("file", "user.one", buffer, 4), ERANGE));
    CHECK(fails_with(setxattr("file", "user.one", "", 0, XATTR_CREATE), EEXIST));
    CHECK(fails_with(setxattr("file", "user.two", "", 0, XATTR_REPLACE), ENODATA));
    CHECK(fsetxattr(fd, "user.one", "other value", 11, XATTR_REPLACE) == 0 &&
          getxattr("link", "user.one", buffer, 20) == 11);
    CHECK(removexattr("file", "user.one") == 0 &&
          fails_with(removexattr("file", "user.one"), ENODATA));
    CHECK(fails_with(fgetxattr(fd, "user.one", buffer, 10), ENODATA) &&
          flistxattr(fd, NULL, 0) == 0);
}

static void many_attributes(void)
{
    char name[32];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "user.name%02d", i);
        CHECK(setxattr("folder", name, name, (size_t)i % 10, 0) == 0);
    }
    CHECK(setxattr("folder", "user.name07", NULL, 0, 0) == 0);
    const ssize_t length = listxattr("folder", buffer, sizeof buffer);
    CHECK(length == 50 * 12 && listxattr("folder", NULL, 0) == length &&
          fails_with(listxattr("folder", buffer, 599), ERANGE));
    CHECK(memmem(buffer, (size_t)length, "user.name07", 12) &&
          getxattr("folder", "user.name07", buffer, 5) == 0 &&
          getxattr("folder", "user.name08", buffer, 9) == 8);
}

static void refused_attributes(int fd)
{
    memset(buffer, 'n', 300);
    memcpy(buffer, "user.", 5);
    buffer[300] = 0;
    CHECK(fails_with(setxattr("file", buffer, "", 0, 0), ERANGE));
    CHECK(fails_with(setxattr("file", "", "", 0, 0), ERANGE));
    CHECK(fails_with(setxattr("file", "user.", "", 0, 0), EINVAL));
    CHECK(fails_with(setxattr("file", "none.such", "", 0, 0), EOPNOTSUPP));
    CHECK(fails_with(setxattr("file", "user.a", "", 0, 4), EINVAL));
    CHECK(fails_with(setxattr("file", "user.a", buffer, 65537, 0), E2BIG));
    CHECK(fails_with(setxattr("nothing", "user.a", "", 0, 0), ENOENT));
    CHECK(fails_with(lsetxattr("link", "user.a", "", 0, 0), EPERM) &&
          llistxattr("link", buffer, 100) == 0);
    CHECK(fails_with(fsetxattr(999, "user.a", "", 0, 0), EBADF) && flistxattr(fd, NULL, 0) == 0);
}

static void extended_attributes(void)
{
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    CHECK(mkdir("folder", 0700) == 0 && symlink("file", "link") == 0);
    one_attribute(fd);
    many_attributes();
    refused_attributes(fd);
    close(fd);
    CHECK(unlink("link") == 0 && rmdir("folder") == 0 && unlink("file") == 0);
}

/* ---- Seals ---- */

static void sealed_size(int fd)
{
    CHECK(fcntl(fd, F_GET_SEALS) == 0 && ftruncate(fd, 2 * PAGE) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0 && fails_with(ftruncate(fd, 3 * PAGE), EPERM));
    CHECK(ftruncate(fd, PAGE) == 0 && fails_with(pwrite(fd, "x", 1, PAGE), EPERM));
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && fails_with(ftruncate(fd, 10), EPERM));
    CHECK(pwrite(fd, "x", 1, 0) == 1 && ftruncate(fd, PAGE) == 0);
}

static void sealed_writing(int fd)
{
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map[0] == 'x' && fails_with(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY));
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0 && fails_with(write(fd, "y", 1), EPERM));
    map[0] = 'z';
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EPERM));
    CHECK(munmap(map, PAGE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    CHECK(fails_with(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM));
    CHECK(fcntl(fd, F_GET_SEALS) ==
          (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
    map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED && map[0] == 'z' && munmap(map, PAGE) == 0);
}

static void seals(void)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING), other = memfd_create("other", 0), ends[2];
    sealed_size(fd);
    sealed_writing(fd);
    CHECK(fcntl(other, F_GET_SEALS) == F_SEAL_SEAL &&
          fails_with(fcntl(other, F_ADD_SEALS, F_SEAL_GROW), EPERM));
    CHECK(pipe(ends) == 0 && fails_with(fcntl(ends[0], F_GET_SEALS), EINVAL));
    for (int i = 0; i < 4; i++)
        close((int[]){ fd, other, ends[0], ends[1] }[i]);
}

/* ---- Locks ---- */

static void *unlocks(void *argument)
{
    usleep(1000);
    return flock(*(const int *)argument, LOCK_UN) == 0 ? argument : NULL;
}

static void locks(void)
{
    pthread_t thread;
    void *result;
    int one = open("file", O_RDWR | O_CREAT, 0600), other = open("file", O_RDONLY), copy = dup(one);
    CHECK(flock(one, LOCK_EX) == 0 && fails_with(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK));
    CHECK(flock(copy, LOCK_EX | LOCK_NB) == 0 && flock(one, LOCK_SH) == 0);
    CHECK(flock(other, LOCK_SH | LOCK_NB) == 0 &&
          fails_with(flock(one, LOCK_EX | LOCK_NB), EWOULDBLOCK));
    CHECK(flock(other, LOCK_UN) == 0 && flock(one, LOCK_EX | LOCK_NB) == 0);
    CHECK(close(one) == 0 && fails_with(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK));
    CHECK(pthread_create(&thread, NULL, unlocks, &copy) == 0 && flock(other, LOCK_EX) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result);
    CHECK(fails_with(flock(copy, LOCK_SH | LOCK_NB), EWOULDBLOCK) && close(other) == 0);
    CHECK(flock(copy, LOCK_SH | LOCK_NB) == 0 && fails_with(flock(copy, 0), EINVAL));
    CHECK(fails_with(flock(999, LOCK_SH), EBADF) && close(copy) == 0 && unlink("file") == 0);
}

enum { SET = F_OFD_SETLK };

static int lock_range(int fd, int command, short type, off_t start, off_t length)
{
    struct flock range = { .l_type = type, .l_start = start, .l_len = length };
    return fcntl(fd, command, &range);
}

static void *unlocks_range(void *argument)
{
    usleep(1000);
    return lock_range(*(const int *)argument, F_OFD_SETLK, F_UNLCK, 0, 0) == 0 ? argument : NULL;
}

/* Closes `other`. */
static void wait_for_range(int one, int other, int copy)
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, unlocks_range, &copy) == 0 &&
          lock_range(other, F_OFD_SETLKW, F_WRLCK, 0, 0) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result);
    CHECK(fails_with(lock_range(one, SET, F_WRLCK, 1000, 1), EAGAIN) && close(other) == 0 &&
          lock_range(one, SET, F_WRLCK, 1000, 1) == 0);
}

static void refused_ranges(void)
{
    struct flock foreign = { .l_type = F_RDLCK, .l_pid = 1 };
    int other = open("file", O_RDONLY);
    CHECK(fails_with(lock_range(other, SET, F_WRLCK, 0, 1), EBADF) &&
          fails_with(lock_range(other, SET, F_RDLCK, -1, 1), EINVAL) &&
          fails_with(lock_range(other, SET, 99, 0, 1), EINVAL) &&
          fails_with(fcntl(other, SET, &foreign), EINVAL));
    CHECK(close(other) == 0);
}

/* Locks of parts of a file that belong to open files. */
static void range_locks(void)
{
    int one = open("file", O_RDWR | O_CREAT, 0600), other = open("file", O_RDWR), copy = dup(one);
    struct flock found = { .l_type = F_RDLCK };
    CHECK(lock_range(one, SET, F_WRLCK, 10, 20) == 0 && lock_range(copy, SET, F_WRLCK, 0, 0) == 0);
    CHECK(fails_with(lock_range(other, SET, F_RDLCK, 12, 1), EAGAIN));
    CHECK(lock_range(one, SET, F_UNLCK, 10, 10) == 0 &&
          lock_range(other, SET, F_RDLCK, 20, -10) == 0);
    CHECK(fails_with(lock_range(other, SET, F_RDLCK, 9, 1), EAGAIN));
    CHECK(fails_with(lock_range(other, SET, F_RDLCK, 20, 1), EAGAIN));
    CHECK(fails_with(lock_range(one, SET, F_WRLCK, 19, 1), EAGAIN) &&
          lock_range(one, SET, F_RDLCK, 19, 1) == 0);
    CHECK(fcntl(other, F_OFD_GETLK, &found) == 0 && found.l_type == F_WRLCK && found.l_pid == -1);
    CHECK(lock_range(one, SET, F_UNLCK, 0, 0) == 0 && lock_range(one, SET, F_WRLCK, 20, 0) == 0);
    found = (struct flock){ .l_type = F_WRLCK };
    CHECK(fcntl(one, F_OFD_GETLK, &found) == 0 && found.l_type == F_RDLCK && found.l_start == 10 &&
          found.l_len == 10);
    wait_for_range(one, other, copy);
    refused_ranges();
    CHECK(close(one) + close(copy) + unlink("file") == 0);
}

int main(void)
{
    char directory[] = "/tmp/attributes-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    extended_attributes();
    seals();
    locks();
    range_locks();
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
