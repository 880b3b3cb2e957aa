/* mmap, munmap, mremap, mprotect, madvise: what is handed out is zero, what is given back is used
 * again. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul
#define MIB  (1ul << 20)

static uint8_t *map(size_t length)
{
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int is_filled(const uint8_t *at, size_t length, uint8_t byte)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != byte)
            return 0;
    return 1;
}

/* Far more than the VM has, in all: each mapping must be given back and come zeroed. */
static void reuse(void)
{
    for (int i = 0; i < 200; i++) {
        uint8_t *at = map(4 * MIB);
        CHECK(at != MAP_FAILED);
        if (at == MAP_FAILED)
            return;
        CHECK(is_filled(at, 4 * MIB, 0));
        memset(at, 0xa5, 4 * MIB);
        CHECK(munmap(at, 4 * MIB) == 0);
    }
}

static void many(void)
{
    enum { COUNT = 700 };
    static uint8_t *at[COUNT];
    for (int i = 0; i < COUNT; i++) {
        at[i] = mmap(NULL, PAGE * (1 + i % 5),
                     i % 2 ? PROT_READ | PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at[i] != MAP_FAILED);
        memset(at[i], i, PAGE * (1 + i % 5));
    }
    for (int i = 0; i < COUNT; i += 3)
        CHECK(munmap(at[i], PAGE * (1 + i % 5)) == 0);
    for (int i = 0; i < COUNT; i++)
        if (i % 3)
            CHECK(is_filled(at[i], PAGE * (1 + i % 5), (uint8_t)i));
    for (int i = 0; i < COUNT; i += 3) {
        uint8_t *again = map(PAGE * (1 + i % 5));
        CHECK(again != MAP_FAILED && is_filled(again, PAGE * (1 + i % 5), 0));
        munmap(again, PAGE * (1 + i % 5));
    }
    for (int i = 0; i < COUNT; i++)
        if (i % 3)
            CHECK(munmap(at[i], PAGE * (1 + i % 5)) == 0);
}

static void split(void)
{
    uint8_t *at = map(8 * PAGE);
    memset(at, 1, 8 * PAGE);
    CHECK(munmap(at + 2 * PAGE, 3 * PAGE) == 0);
    CHECK(is_filled(at, 2 * PAGE, 1) && is_filled(at + 5 * PAGE, 3 * PAGE, 1));
    uint8_t *again = mmap(at + 2 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(again == at + 2 * PAGE && is_filled(again, 3 * PAGE, 0));
    CHECK(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              MAP_FAILED &&
          errno == EEXIST);
    CHECK(mmap(at + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
               -1, 0) == at + PAGE);
    CHECK(is_filled(at, PAGE, 1) && is_filled(at + PAGE, 4 * PAGE, 0));
    CHECK(munmap(at, 8 * PAGE) == 0);
    CHECK(munmap(at, 8 * PAGE) == 0); /* nothing there: no error */
}

static void resize(void)
{
    uint8_t *at = map(2 * PAGE);
    memset(at, 7, 2 * PAGE);
    at = mremap(at, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    CHECK(at != MAP_FAILED && is_filled(at, 2 * PAGE, 7) && is_filled(at + 2 * PAGE, 62 * PAGE, 0));
    uint8_t *wall = mmap(at + 64 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wall == at + 64 * PAGE)
        CHECK(mremap(at, 64 * PAGE, 128 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    at = mremap(at, 64 * PAGE, 128 * PAGE, MREMAP_MAYMOVE);
    CHECK(at != MAP_FAILED && is_filled(at, 2 * PAGE, 7) &&
          is_filled(at + 2 * PAGE, 126 * PAGE, 0));
    memset(at, 9, 128 * PAGE);
    CHECK(mremap(at, 128 * PAGE, 3 * PAGE, 0) == at);
    at = mremap(at, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    CHECK(at != MAP_FAILED && is_filled(at, 3 * PAGE, 9) && is_filled(at + 3 * PAGE, 3 * PAGE, 0));
    uint8_t *target = map(6 * PAGE);
    memset(target, 3, 6 * PAGE);
    CHECK(mremap(at, 6 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(is_filled(target, 3 * PAGE, 9) && is_filled(target + 3 * PAGE, 3 * PAGE, 0));
    CHECK(munmap(target, 6 * PAGE) == 0 && munmap(wall, PAGE) == 0);
    CHECK(mremap(target, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
}

static void reserve_and_commit(void)
{
    uint8_t *at = mmap(NULL, 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                       0);
    CHECK(at != MAP_FAILED);
    CHECK(mprotect(at, MIB, PROT_READ | PROT_WRITE) == 0 && is_filled(at, MIB, 0));
    memset(at, 5, MIB);
    CHECK(mprotect(at, MIB, PROT_NONE) == 0);
    CHECK(mprotect(at, MIB, PROT_READ | PROT_WRITE) == 0 && is_filled(at, MIB, 5));
    CHECK(mmap(at, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    CHECK(mprotect(at, MIB, PROT_READ | PROT_WRITE) == 0 && is_filled(at, MIB, 0));
    memset(at, 6, MIB);
    CHECK(madvise(at, MIB / 2, MADV_DONTNEED) == 0);
    CHECK(madvise(at, MIB / 2, MADV_WILLNEED) == 0 && fails_with(madvise(at, MIB, 77), EINVAL));
    CHECK(is_filled(at, MIB / 2, 0) && is_filled(at + MIB / 2, MIB / 2, 6));
    CHECK(munmap(at, 4 * MIB) == 0);
    CHECK(mprotect(at, PAGE, PROT_READ) == -1 && errno == ENOMEM);
}

static void out_of_memory(void)
{
    CHECK(mmap(NULL, 1ul << 46, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
              MAP_FAILED ||
          getenv("ON_LINUX"));
    CHECK(mmap(NULL, -PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
          errno == ENOMEM);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
          errno == EINVAL);
    CHECK(malloc(1ul << 46) == NULL);
    CHECK(map(PAGE) != MAP_FAILED);
}

int main(void)
{
    reuse();
    many();
    split();
    resize();
    reserve_and_commit();
    out_of_memory();
    reuse();
    return DONE();
}
