/* Files that are mapped over reserved addresses, as dynamic loaders and allocators do. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul
#define MIB  (1ul << 20)
#define GIB  (1ul << 30)

static sigjmp_buf again;

static void on_fault(int number)
{
    siglongjmp(again, number);
}

static bool faults(volatile char *at, bool writing)
{
    if (sigsetjmp(again, 1) != 0)
        return true;
    if (writing)
        *at = 1;
    else
        (void)*at;
    return false;
}

static char *reserve(size_t length)
{
    char *at = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* A file whose every page begins with its number and "page". */
static int numbered_file(size_t pages)
{
    char name[] = "/tmp/reservedXXXXXX";
    const int file = mkstemp(name);
    CHECK(file >= 0 && unlink(name) == 0 && ftruncate(file, (off_t)(pages * PAGE)) == 0);
    for (size_t i = 0; i < pages; i++) {
        const char text[] = { (char)('a' + i % 26), 'p', 'a', 'g', 'e' };
        CHECK(pwrite(file, text, sizeof text, (off_t)(i * PAGE)) == sizeof text);
    }
    return file;
}

static bool is_page(const char *at, size_t number)
{
    return at[0] == (char)('a' + number % 26) && memcmp(at + 1, "page", 4) == 0;
}

static char byte_of(int file, size_t offset)
{
    char byte = 0;
    CHECK(pread(file, &byte, 1, (off_t)offset) == 1);
    return byte;
}

static void *map_at(char *at, size_t pages, int protection, int flags, int file, size_t first)
{
    return mmap(at, pages * PAGE, protection, flags | MAP_FIXED, file, (off_t)(first * PAGE));
}

/* One page, a few, and parts of gigabytes: these lie elsewhere. */
static const size_t lengths[] = { PAGE, 8 * PAGE, 2 * MIB, GIB };

static void private_over(char *at, int file)
{
    CHECK(map_at(at, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 2) == at);
    CHECK(is_page(at, 2));
    at[0] = '!';
    CHECK(byte_of(file, 2 * PAGE) == 'c');
    CHECK(map_at(at, 1, PROT_READ, MAP_PRIVATE, file, 3) == at && is_page(at, 3));
}

static void shared_over(char *at, int file)
{
    CHECK(map_at(at, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 1) == at);
    CHECK(is_page(at, 1));
    at[PAGE - 1] = 7;
    CHECK(byte_of(file, 2 * PAGE - 1) == 7);
    CHECK(pwrite(file, "x", 1, PAGE + 100) == 1 && at[100] == 'x');
    CHECK(msync(at, PAGE, MS_SYNC) == 0);
    CHECK(map_at(at, 1, PROT_READ, MAP_SHARED, file, 0) == at && is_page(at, 0));
    CHECK(munmap(at, PAGE) == 0);
    CHECK(is_page(map_at(at, 1, PROT_READ, MAP_SHARED, file, 1), 1));
}

static void over_what_was_reserved(void)
{
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int file = numbered_file(4), other = open("/proc/self/exe", O_RDONLY);
        char *at = reserve(lengths[i]), magic[4];
        private_over(at, file);
        CHECK(map_at(at, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == at);
        shared_over(at, file);
        CHECK(other >= 0 && pread(other, magic, 4, 0) == 4);
        CHECK(map_at(at, 1, PROT_READ, MAP_PRIVATE, other, 0) == at && !memcmp(at, magic, 4));
        CHECK(map_at(at, 1, PROT_READ, MAP_SHARED, other, 0) == at && !memcmp(at, magic, 4));
        CHECK(close(other) == 0 && close(file) == 0 && munmap(at, lengths[i]) == 0);
    }
}

/* A file that is mapped elsewhere has the same pages here. */
static void twice(void)
{
    const int file = numbered_file(8);
    char *elsewhere = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
         *at = reserve(GIB), *page = reserve(PAGE);
    CHECK(elsewhere != MAP_FAILED);
    CHECK(map_at(at, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == at);
    CHECK(map_at(at + 8 * PAGE, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == at + 8 * PAGE);
    CHECK(map_at(page, 1, PROT_READ, MAP_SHARED, file, 7) == page && is_page(page, 7));
    memcpy(at + 8 * PAGE - 4, "over the end", 12); /* of a ring, into its beginning */
    CHECK(memcmp(at, " the end", 8) == 0 && memcmp(elsewhere, " the end", 8) == 0);
    CHECK(memcmp(page + PAGE - 4, "over", 4) == 0 && byte_of(file, 0) == ' ');
    CHECK(munmap(elsewhere, 8 * PAGE) == 0 && munmap(at + 8 * PAGE, 8 * PAGE) == 0);
    CHECK(is_page(at + 3 * PAGE, 3) && ftruncate(file, 2 * PAGE) == 0 && close(file) == 0);
    CHECK(at[0] == ' ' && munmap(page, PAGE) == 0 && munmap(at, GIB) == 0);
}

static void protections(void)
{
    const int file = numbered_file(4);
    char *at = reserve(PAGE), path[64];
    CHECK(map_at(at, 1, PROT_READ, MAP_SHARED, file, 1) == at);
    CHECK(!faults(at, false) && faults(at, true));
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0 && !faults(at + 9, true));
    CHECK(byte_of(file, PAGE + 9) == 1);
    CHECK(mprotect(at, PAGE, PROT_NONE) == 0 && faults(at, false));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    const int only_read = open(path, O_RDONLY);
    CHECK(map_at(at, 1, PROT_READ, MAP_SHARED, only_read, 1) == at && is_page(at, 1));
    CHECK(fails_with(mprotect(at, PAGE, PROT_READ | PROT_WRITE), EACCES));
    CHECK(map_at(at, 1, PROT_WRITE, MAP_SHARED, only_read, 1) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0) == MAP_FAILED &&
          errno == EEXIST);
    CHECK(munmap(at, PAGE) == 0 && faults(at, false) && close(file) == 0 && close(only_read) == 0);
}

/* Part of a mapping goes, another moves and grows. */
static void pieces(void)
{
    const int file = numbered_file(12);
    char *at = reserve(GIB);
    CHECK(map_at(at, 6, PROT_READ | PROT_WRITE, MAP_SHARED, file, 1) == at);
    CHECK(munmap(at + 2 * PAGE, PAGE) == 0 && faults(at + 2 * PAGE, false));
    CHECK(is_page(at + PAGE, 2) && is_page(at + 3 * PAGE, 4));
    CHECK(map_at(at + 4 * PAGE, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          at + 4 * PAGE);
    CHECK(at[4 * PAGE] == 0 && is_page(at + 5 * PAGE, 6));
    char *moved = mremap(at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 16 * PAGE);
    CHECK(moved == at + 16 * PAGE && faults(at, false));
    for (size_t i = 0; i < 4; i++)
        CHECK(is_page(moved + i * PAGE, i + 1));
    moved[3 * PAGE + 8] = 5;
    CHECK(byte_of(file, 4 * PAGE + 8) == 5 && (at + 3 * PAGE)[8] == 5);
    CHECK(munmap(at, GIB) == 0 && byte_of(file, 4 * PAGE + 8) == 5 && close(file) == 0);
}

/* Large files lie elsewhere than small ones, and so do shared pages of none. */
static void large(void)
{
    const int file = memfd_create("large", 0);
    char *at = reserve(GIB), *small = reserve(PAGE);
    CHECK(ftruncate(file, 4 * MIB) == 0 && pwrite(file, "end", 3, 4 * MIB - 3) == 3);
    CHECK(mmap(at, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == at);
    CHECK(memcmp(at + 4 * MIB - 3, "end", 3) == 0 && at[0] == 0);
    at[2 * MIB] = 9;
    CHECK(byte_of(file, 2 * MIB) == 9);
    CHECK(map_at(small, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == small);
    small[0] = 1;
    CHECK(munmap(small, PAGE) == 0 && munmap(at, GIB) == 0 && close(file) == 0);
}

int main(void)
{
    const struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    for (int times = 0; times < 3; times++) { /* nothing is lost */
        over_what_was_reserved();
        twice();
        protections();
        pieces();
        large();
    }
    return DONE();
}
