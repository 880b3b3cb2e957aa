/* Shared mappings of files in memory: they see what is written, and what is written to them is in
 * the file. Addresses are Linux's choice, so nothing is asked of those that it chooses. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "texts.h"

#define PAGE 4096

static int file_of(const char *path, size_t pages)
{
    static char bytes[PAGE];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    for (size_t i = 0; i < pages; i++) {
        memset(bytes, 'a' + (int)i, PAGE);
        CHECK(write(fd, bytes, PAGE) == PAGE);
    }
    return fd;
}

static char *mapped(int fd, size_t pages, int protection, off_t offset)
{
    char *map = mmap(NULL, pages * PAGE, protection, MAP_SHARED, fd, offset * PAGE);
    CHECK(map != MAP_FAILED);
    return map;
}

static bool file_has(int fd, const char *text, off_t offset)
{
    char buffer[64] = "";
    const size_t length = strlen(text);
    return pread(fd, buffer, length, offset) == (ssize_t)length &&
           memcmp(buffer, text, length) == 0;
}

#define BOTH (PROT_READ | PROT_WRITE)

static void both_ways(void)
{
    int fd = file_of("file", 3);
    char *map = mapped(fd, 3, BOTH, 0), *again = mapped(fd, 3, BOTH, 0);
    memcpy(map + PAGE, "through", 7);
    CHECK(file_has(fd, "throughb", PAGE) && memcmp(again + PAGE, "throughb", 8) == 0);
    CHECK(pwrite(fd, "written", 7, 2 * PAGE) == 7 && memcmp(map + 2 * PAGE, "writtenc", 8) == 0);
    CHECK(msync(map, 3 * PAGE, MS_SYNC) == 0 && munmap(map, 3 * PAGE) == 0);
    CHECK(memcmp(again + PAGE, "throughb", 8) == 0);
    CHECK(pwrite(fd, "more", 4, 0) == 4 && memcmp(again, "morea", 5) == 0);
    char *reader = mapped(fd, 1, PROT_READ, 1);
    again[PAGE] = 'T';
    CHECK(*reader == 'T' && munmap(again, 3 * PAGE) == 0 && *reader == 'T');
    CHECK(munmap(reader, PAGE) == 0 && file_has(fd, "Through", PAGE));
    map = mapped(fd, 3, PROT_READ, 0);
    CHECK(memcmp(map + PAGE, "Through", 7) == 0 && munmap(map, 3 * PAGE) == 0);
    close(fd);
    CHECK(unlink("file") == 0);
}

static void of_private_ones(void)
{
    int fd = file_of("file", 2);
    char *shared = mapped(fd, 2, BOTH, 0),
         *private = mmap(NULL, 2 * PAGE, BOTH, MAP_PRIVATE, fd, 0);
    private[0] = 'p';
    CHECK(shared[0] == 'a' && file_has(fd, "aa", 0));
    shared[PAGE] = 's';
    CHECK(private[0] == 'p' && file_has(fd, "sb", PAGE));
    munmap(private, 2 * PAGE);
    munmap(shared, 2 * PAGE);
    close(fd);
}

/* What lies past the end does not come back. */
static void cut(int fd, const char *map)
{
    struct stat status;
    CHECK(ftruncate(fd, PAGE + 10) == 0 && map[PAGE + 9] == 'b' && map[PAGE + 10] == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == PAGE + 10);
    CHECK(ftruncate(fd, 4 * PAGE) == 0 && map[PAGE + 9] == 'b' && map[PAGE + 10] == 0);
    CHECK(map[2 * PAGE] == 0 && map[4 * PAGE - 1] == 0);
}

static void grown(int fd, char *map)
{
    map[3 * PAGE] = 'x';
    CHECK(file_has(fd, "x", 3 * PAGE) && pwrite(fd, "end", 3, 6 * PAGE) == 3);
    char *whole = mapped(fd, 7, BOTH, 0);
    CHECK(memcmp(whole + 6 * PAGE, "end", 4) == 0 && whole[3 * PAGE] == 'x');
    whole[3 * PAGE] = 'y';
    CHECK(whole[5 * PAGE] == 0 && map[3 * PAGE] == 'y');
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_END) == 0);
    CHECK(pwrite(fd, "new", 3, 0) == 3 && memcmp(map, "new", 4) == 0);
    CHECK(munmap(whole, 7 * PAGE) == 0 && memcmp(map, "new", 4) == 0);
}

static void sizes(void)
{
    int fd = file_of("file", 4);
    char *map = mapped(fd, 4, BOTH, 0);
    cut(fd, map);
    grown(fd, map);
    CHECK(munmap(map, 4 * PAGE) == 0);
    close(fd);
}

static void of_a_new_file(void)
{
    int fd = open("new", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(ftruncate(fd, 100000) == 0);
    char *map = mapped(fd, 25, BOTH, 0);
    CHECK(map[99999] == 0);
    map[99999] = '!';
    CHECK(file_has(fd, "!", 99999));
    CHECK(close(fd) == 0 && unlink("new") == 0 && map[99999] == '!');
    map[5] = '?';
    CHECK(munmap(map, 25 * PAGE) == 0);
}

static void names_of_one_file(void)
{
    int fd = file_of("file", 1);
    CHECK(link("file", "other") == 0);
    int other = open("other", O_RDWR);
    char *map = mapped(fd, 1, BOTH, 0), *same = mapped(other, 1, BOTH, 0);
    map[1] = '1';
    CHECK(same[1] == '1' && unlink("file") == 0 && same[1] == '1');
    CHECK(close(fd) == 0 && file_has(other, "a1a", 0) && close(other) == 0);
    munmap(map, PAGE);
    munmap(same, PAGE);
    CHECK(has_text("other", "") == false && unlink("other") == 0);
}

static void parts(void)
{
    int fd = file_of("file", 6);
    char *last = mapped(fd, 2, BOTH, 4), *first = mapped(fd, 2, BOTH, 0),
         *middle = mapped(fd, 4, BOTH, 1);
    first[PAGE] = '1';
    last[0] = '2';
    CHECK(middle[0] == '1' && middle[3 * PAGE] == '2' && middle[PAGE] == 'c');
    CHECK(munmap(middle, PAGE) == 0 && munmap(middle + 2 * PAGE, 2 * PAGE) == 0);
    middle[PAGE] = '3';
    CHECK(file_has(fd, "3c", 2 * PAGE) && first[PAGE] == '1' && last[0] == '2');
    CHECK(munmap(first, 2 * PAGE) == 0 && munmap(last, 2 * PAGE) == 0 && middle[PAGE] == '3' &&
          munmap(middle + PAGE, PAGE) == 0);
    CHECK(file_has(fd, "1b", PAGE) && file_has(fd, "2e", 4 * PAGE));
    close(fd);
}

/* An address that the program chose. */
static void fixed(void)
{
    int fd = file_of("file", 4);
    char *area = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mmap(area + 2 * PAGE, 4 * PAGE, BOTH, MAP_SHARED | MAP_FIXED, fd, 0) == area + 2 * PAGE);
    area[2 * PAGE] = 'F';
    CHECK(file_has(fd, "Faa", 0) && area[5 * PAGE] == 'd');
    /* memory in the place of one of its pages leaves the file as it was */
    CHECK(mmap(area + 3 * PAGE, PAGE, BOTH, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          area + 3 * PAGE);
    CHECK(area[3 * PAGE] == 0);
    area[3 * PAGE] = 'z';
    CHECK(file_has(fd, "bb", PAGE) && pwrite(fd, "B", 1, PAGE) == 1 && area[3 * PAGE] == 'z');
    CHECK(munmap(area, 8 * PAGE) == 0 && file_has(fd, "Fa", 0) && file_has(fd, "Bb", PAGE));
    char *map = mapped(fd, 4, BOTH, 0);
    CHECK(map[0] == 'F' && map[PAGE] == 'B' && map[3 * PAGE] == 'd');
    munmap(map, 4 * PAGE);
    char *anonymous = mmap(map, 4 * PAGE, BOTH, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                           -1, 0);
    CHECK(anonymous == map && anonymous[0] == 0);
    anonymous[0] = 'x';
    CHECK(file_has(fd, "Fa", 0) && munmap(anonymous, 4 * PAGE) == 0);
    close(fd);
}

static void remapped(void)
{
    int fd = file_of("file", 2);
    char *map = mapped(fd, 2, BOTH, 0),
         *wall = mmap(NULL, PAGE, BOTH, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(ftruncate(fd, 200 * PAGE) == 0);
    map = mremap(map, 2 * PAGE, 200 * PAGE, MREMAP_MAYMOVE);
    CHECK(map != MAP_FAILED && map[0] == 'a' && map[PAGE] == 'b' && map[199 * PAGE] == 0);
    map[199 * PAGE] = 'e';
    map[PAGE] = 'c';
    CHECK(file_has(fd, "e", 199 * PAGE) && file_has(fd, "cb", PAGE));
    CHECK(mremap(map, 200 * PAGE, PAGE, 0) == map && map[0] == 'a');
    char *target = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mremap(map, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(target[PAGE] == 'c');
    target[PAGE] = 'd';
    CHECK(file_has(fd, "db", PAGE) && munmap(target, 2 * PAGE) == 0 && munmap(wall, PAGE) == 0);
    close(fd);
}

static void read_only_program(void)
{
    int fd = open("/proc/self/exe", O_RDONLY), zeros = open("/dev/zero", O_RDWR);
    char *map = mapped(fd, 1, PROT_READ, 0), *zero = mapped(zeros, 1, PROT_READ, 0);
    CHECK(memcmp(map, "\177ELF", 4) == 0 && fails_with(mprotect(map, PAGE, BOTH), EACCES));
    CHECK(mprotect(zero, PAGE, BOTH) == 0 && zero[0] == 0);
    CHECK(munmap(map, PAGE) == 0 && munmap(zero, PAGE) == 0 && close(fd) == 0 && close(zeros) == 0);
}

static void permissions(void)
{
    int fd = file_of("file", 1), reader = open("file", O_RDONLY), writer = open("file", O_WRONLY),
        folder = open(".", O_RDONLY), ends[2], path = open("file", O_PATH);
    CHECK(fails_with((long)mmap(NULL, PAGE, BOTH, MAP_SHARED, reader, 0), EACCES));
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, writer, 0), EACCES));
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writer, 0), EACCES));
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, folder, 0), ENODEV));
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, path, 0), EBADF));
    CHECK(fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100), EINVAL));
    CHECK(fails_with((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, reader, 0), EINVAL));
    CHECK(pipe(ends) == 0 &&
          fails_with((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ends[0], 0), ENODEV));
    char *map = mapped(reader, 1, PROT_READ, 0);
    CHECK(fails_with(mprotect(map, PAGE, BOTH), EACCES) && mprotect(map, PAGE, PROT_READ) == 0);
    CHECK(fails_with(msync(map, PAGE, MS_SYNC | MS_ASYNC), EINVAL) &&
          fails_with(msync(map + 1, 1, MS_SYNC), EINVAL));
    CHECK(munmap(map, PAGE) == 0 && fails_with(msync(map, PAGE, MS_SYNC), ENOMEM));
    char *private = mmap(NULL, PAGE, BOTH, MAP_PRIVATE, reader, 0);
    CHECK(private != MAP_FAILED && munmap(private, PAGE) == 0);
    map = mapped(fd, 1, PROT_READ, 0);
    CHECK(mprotect(map, PAGE, BOTH) == 0 && munmap(map, PAGE) == 0);
    read_only_program();
    const int all[] = { fd, reader, writer, folder, ends[0], ends[1], path };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        close(all[i]);
}

static void advice(void)
{
    int fd = file_of("file", 1);
    char *map = mapped(fd, 1, BOTH, 0),
         *anonymous = mmap(NULL, PAGE, BOTH, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
         *zero = mmap(NULL, PAGE, BOTH, MAP_SHARED, open("/dev/zero", O_RDWR), 0);
    anonymous[0] = zero[0] = 'k';
    CHECK(madvise(map, PAGE, MADV_DONTNEED) == 0 && map[0] == 'a');
    CHECK(madvise(anonymous, PAGE, MADV_DONTNEED) == 0 && anonymous[0] == 'k');
    CHECK(madvise(zero, PAGE, MADV_DONTNEED) == 0 && zero[0] == 'k');
    CHECK(madvise(map, PAGE, MADV_REMOVE) == 0 && map[0] == 0 && file_has(fd, "", 0));
    munmap(map, PAGE);
    munmap(anonymous, PAGE);
    munmap(zero, PAGE);
    close(fd);
}

/* Reading a file into its own mapping, and many mappings that come and go. */
static void odd_uses(void)
{
    int fd = file_of("file", 3);
    char *map = mapped(fd, 3, BOTH, 0);
    CHECK(pread(fd, map, PAGE, PAGE) == PAGE && map[0] == 'b' && file_has(fd, "bb", 0));
    CHECK(pread(fd, map, PAGE, 0) == PAGE && map[0] == 'b');
    CHECK(pwrite(fd, map + 2 * PAGE, PAGE, PAGE) == PAGE && map[PAGE] == 'c');
    munmap(map, 3 * PAGE);
    for (int i = 0; i < 2000; i++) {
        map = mapped(fd, 1 + (size_t)i % 3, BOTH, 0);
        map[0] = (char)i;
        munmap(map, (1 + (size_t)i % 3) * PAGE);
    }
    CHECK(lseek(fd, 0, SEEK_END) == 3 * PAGE);
    close(fd);
    for (int i = 0; i < 300; i++) {
        fd = open(".", O_TMPFILE | O_RDWR, 0600);
        CHECK(ftruncate(fd, 100 * PAGE) == 0);
        map = mapped(fd, 100, BOTH, 0);
        close(fd);
        map[i * 100] = 'x';
        munmap(map, 100 * PAGE);
    }
}

int main(void)
{
    char directory[] = "/dev/shm/mappings-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    both_ways();
    of_private_ones();
    sizes();
    of_a_new_file();
    names_of_one_file();
    parts();
    fixed();
    remapped();
    permissions();
    advice();
    odd_uses();
    unlink("file");
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
    return DONE();
}
