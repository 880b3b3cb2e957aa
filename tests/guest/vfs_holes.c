/* Holes in files in memory: fallocate(2), lseek(2). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define PAGE  4096
#define PAGES 6
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* A file in memory on Linux, too, full of bytes. */
static int full_file(unsigned flags)
{
    static char bytes[PAGES * PAGE];
    const int fd = memfd_create("file", flags);
    memset(bytes, 'x', sizeof bytes);
    CHECK(fd >= 0 && write(fd, bytes, sizeof bytes) == sizeof bytes);
    return fd;
}

/* Whether zeros are in the bytes [start, end) alone. */
static bool has_hole(int fd, size_t start, size_t end)
{
    static char bytes[PAGES * PAGE];
    CHECK(pread(fd, bytes, sizeof bytes, 0) == sizeof bytes);
    for (size_t at = 0; at < sizeof bytes; at++)
        if ((bytes[at] == 0) != (at >= start && at < end))
            return false;
    return true;
}

static void holes_are_zero(void)
{
    struct stat status;
    int fd = full_file(0);
    CHECK(fallocate(fd, PUNCH, PAGE + 100, 3 * PAGE) == 0);
    CHECK(has_hole(fd, PAGE + 100, 4 * PAGE + 100));
    CHECK(fstat(fd, &status) == 0 && status.st_size == PAGES * PAGE);
    CHECK(pwrite(fd, "y", 1, 2 * PAGE) == 1 && has_hole(fd, PAGE + 100, 4 * PAGE + 100) == false);
    close(fd);
    fd = full_file(0);
    CHECK(fallocate(fd, PUNCH, 10, 20) == 0 && has_hole(fd, 10, 30));
    CHECK(fallocate(fd, PUNCH, 0, 1ll << 40) == 0 && has_hole(fd, 0, PAGES * PAGE));
    CHECK(fallocate(fd, PUNCH, 1ll << 39, PAGE) == 0 && fstat(fd, &status) == 0 &&
          status.st_size == PAGES * PAGE);
    close(fd);
}

static void mappings_see_them(void)
{
    int fd = full_file(0);
    char *mapped = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(fallocate(fd, PUNCH, PAGE, 2 * PAGE + 5) == 0);
    CHECK(mapped[PAGE - 1] == 'x' && mapped[PAGE] == 0 && mapped[3 * PAGE + 4] == 0 &&
          mapped[3 * PAGE + 5] == 'x');
    mapped[PAGE] = 'z';
    char byte = 0;
    CHECK(pread(fd, &byte, 1, PAGE) == 1 && byte == 'z');
    munmap(mapped, PAGES * PAGE);
    close(fd);
}

static void they_are_found(void)
{
    int fd = full_file(0);
    CHECK(lseek(fd, 5, SEEK_DATA) == 5 && lseek(fd, 5, SEEK_HOLE) == PAGES * PAGE);
    CHECK(fallocate(fd, PUNCH, PAGE, 2 * PAGE) == 0);
    CHECK(lseek(fd, 0, SEEK_HOLE) == PAGE && lseek(fd, PAGE + 7, SEEK_HOLE) == PAGE + 7);
    CHECK(lseek(fd, PAGE + 7, SEEK_DATA) == 3 * PAGE && lseek(fd, 0, SEEK_DATA) == 0);
    CHECK(fails_with(lseek(fd, PAGES * PAGE, SEEK_DATA), ENXIO) &&
          fails_with(lseek(fd, PAGES * PAGE, SEEK_HOLE), ENXIO) &&
          fails_with(lseek(fd, -1, SEEK_DATA), ENXIO));
    CHECK(ftruncate(fd, 2 * PAGES * PAGE) == 0);
    CHECK(lseek(fd, 3 * PAGE, SEEK_HOLE) == PAGES * PAGE);
    CHECK(fails_with(lseek(fd, PAGES * PAGE, SEEK_DATA), ENXIO));
    close(fd);
}

static void what_is_refused(void)
{
    int fd = full_file(MFD_ALLOW_SEALING), pipes[2];
    CHECK(fails_with(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE), EOPNOTSUPP));
    CHECK(fails_with(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE), EOPNOTSUPP));
    CHECK(fails_with(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), EOPNOTSUPP));
    CHECK(fails_with(fallocate(fd, PUNCH, 0, 0), EINVAL) &&
          fails_with(fallocate(fd, PUNCH, -1, 1), EINVAL) &&
          fails_with(fallocate(fd, PUNCH, PAGE, INT64_MAX), EFBIG));
    CHECK(pipe(pipes) == 0 && fails_with(fallocate(pipes[1], 0, 0, 1), ESPIPE) &&
          fails_with(fallocate(pipes[0], 0, 0, 1), EBADF));
    CHECK(has_hole(fd, 0, 0));
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 &&
          fails_with(fallocate(fd, PUNCH, 0, PAGE), EPERM) && has_hole(fd, 0, 0));
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
}

/* The memory of holes can be used again: many times as much as there is. */
static void holes_are_free(void)
{
    static char bytes[1 << 20];
    int fd = memfd_create("file", 0);
    memset(bytes, 1, sizeof bytes);
    for (int i = 0; i < 200; i++) {
        CHECK(pwrite(fd, bytes, sizeof bytes, (off_t)i << 20) == sizeof bytes);
        CHECK(fallocate(fd, PUNCH, (off_t)i << 20, sizeof bytes) == 0);
    }
    close(fd);
}

int main(void)
{
    holes_are_zero();
    mappings_see_them();
    they_are_found();
    what_is_refused();
    holes_are_free();
    return DONE();
}
