/* setrlimit(2): what a program limits for itself. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "check.h"

#define MIB (1ul << 20)

static volatile int signals;

static void count(int number)
{
    signals += number == SIGXFSZ;
}

static bool set(int resource, rlim_t soft)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit))
        return false;
    limit.rlim_cur = soft;
    return setrlimit(resource, &limit) == 0;
}

/* The call failed, as the file is as large as may be; the program got a signal. */
static bool too_large(long result)
{
    const bool failed = fails_with(result, EFBIG) && signals == 1;
    signals = 0;
    return failed;
}

static void sizes_of_files(void)
{
    char bytes[200] = "";
    int fd = memfd_create("file", 0);
    CHECK(signal(SIGXFSZ, count) != SIG_ERR && set(RLIMIT_FSIZE, 150));
    CHECK(write(fd, bytes, 100) == 100 && write(fd, bytes, 100) == 50 && signals == 0);
    CHECK(too_large(write(fd, bytes, 1)) && write(fd, bytes, 0) == 0);
    CHECK(too_large(pwrite(fd, bytes, 1, 150)) && pwrite(fd, bytes, 10, 145) == 5);
    CHECK(set(RLIMIT_FSIZE, RLIM_INFINITY) && close(fd) == 0);
}

static void other_ways_to_grow(void)
{
    char bytes[20] = "";
    int fd = memfd_create("file", 0), other = memfd_create("other", 0);
    CHECK(set(RLIMIT_FSIZE, 150) && write(fd, bytes, 20) == 20 && ftruncate(fd, 150) == 0);
    CHECK(too_large(ftruncate(fd, 151)) && ftruncate(fd, 150) == 0 && ftruncate(fd, 20) == 0);
    CHECK(too_large(fallocate(fd, 0, 100, 51)) &&
          too_large(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 151)) && fallocate(fd, 0, 0, 10) == 0);
    CHECK(lseek(fd, 0, SEEK_END) == 20 && lseek(other, 150, SEEK_SET) == 150);
    CHECK(too_large(sendfile(other, fd, &(off_t){ 0 }, 20)));
    CHECK(set(RLIMIT_FSIZE, RLIM_INFINITY) && close(fd) == 0 && close(other) == 0);
}

static void what_is_not_limited(void)
{
    char bytes[200] = "";
    int fd = memfd_create("file", 0), pipes[2];
    CHECK(set(RLIMIT_FSIZE, 150));
    CHECK(pipe(pipes) == 0 && write(pipes[1], bytes, 200) == 200); /* it is no regular file */
    signal(SIGXFSZ, SIG_IGN);
    CHECK(fails_with(pwrite(fd, bytes, 1, 150), EFBIG) && signals == 0);
    CHECK(set(RLIMIT_FSIZE, RLIM_INFINITY) && pwrite(fd, bytes, 200, 100) == 200);
    CHECK(set(RLIMIT_FSIZE, 150) && pwrite(fd, bytes, 10, 100) == 10 && ftruncate(fd, 200) == 0);
    CHECK(set(RLIMIT_FSIZE, RLIM_INFINITY));
}

/* What is mapped, as /proc says. */
static size_t address_space(void)
{
    char line[4096];
    size_t sum = 0, start, end;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%zx-%zx", &start, &end) == 2 && !strstr(line, "[vsyscall]"))
            sum += end - start;
    CHECK(maps && fclose(maps) == 0);
    return sum;
}

static size_t reported_size(void)
{
    unsigned long pages = 0;
    FILE *sizes = fopen("/proc/self/statm", "r");
    CHECK(sizes && fscanf(sizes, "%lu", &pages) == 1 && fclose(sizes) == 0);
    return pages * 4096;
}

static void *map(void *address, size_t length, int protection, int flags)
{
    return mmap(address, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void address_space_is_limited(void)
{
    const size_t before = reported_size();
    void *reserved = map(NULL, 4 * MIB, PROT_NONE, 0);
    CHECK(reserved != MAP_FAILED && reported_size() >= before + 4 * MIB);
    CHECK(reported_size() >= address_space());
    CHECK(set(RLIMIT_AS, address_space() + 8 * MIB));
    CHECK(map(NULL, 9 * MIB, PROT_READ | PROT_WRITE, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(map(NULL, 9 * MIB, PROT_NONE, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(map(NULL, SIZE_MAX - 10, PROT_NONE, 0) == MAP_FAILED && errno == ENOMEM);
    void *held = map(NULL, 6 * MIB, PROT_READ | PROT_WRITE, 0);
    CHECK(held != MAP_FAILED && map(NULL, 3 * MIB, PROT_READ, 0) == MAP_FAILED);
    /* What takes the place of something takes no more. */
    CHECK(map(reserved, 4 * MIB, PROT_READ | PROT_WRITE, MAP_FIXED) == reserved);
    CHECK(mremap(held, 6 * MIB, 10 * MIB, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    held = mremap(held, 6 * MIB, 7 * MIB, MREMAP_MAYMOVE);
    CHECK(held != MAP_FAILED && malloc(20 * MIB) == NULL);
    CHECK(sbrk(3 * MIB) == (void *)-1 && errno == ENOMEM);
    CHECK(munmap(held, 7 * MIB) == 0 && (held = map(NULL, 5 * MIB, PROT_READ, 0)) != MAP_FAILED);
    CHECK(munmap(held, 5 * MIB) == 0 && munmap(reserved, 4 * MIB) == 0);
    CHECK(set(RLIMIT_AS, RLIM_INFINITY));
    held = map(NULL, 12 * MIB, PROT_READ, 0);
    CHECK(held != MAP_FAILED && munmap(held, 12 * MIB) == 0);
}

int main(void)
{
    sizes_of_files();
    other_ways_to_grow();
    what_is_not_limited();
    address_space_is_limited();
    return DONE();
}
