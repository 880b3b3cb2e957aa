/* A program that seals itself and answers calls with large blocks of memory, which lie in scratch:
 * accessible, zero at first and when handed out again, kept when they move, and counted as memory.
 * The reply is one uint64_t: the number of failures. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "check.h"

#define MIB (1ul << 20)

static const struct udfvm_call *const call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
static uint64_t *const reply = (uint64_t *)UDFVM_OUTPUT_BASE;

static void seal(void)
{
    ((void (*)(void))UDFVM_VECTOR_SEAL)();
}

static void complete(uint64_t status, uint64_t length)
{
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(status, length);
}

static uint8_t *map(size_t length)
{
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int in_scratch(const void *at)
{
    return (uint64_t)at >= call->scratch_start && (uint64_t)at < call->scratch_end;
}

static int is_filled(const uint8_t *block, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if (block[i] != value)
            return 0;
    return 1;
}

/* Large ones lie in scratch and are zero. */
static void new_blocks(const uint8_t *small, const uint8_t *large, const uint8_t *second)
{
    CHECK(small != MAP_FAILED && large != MAP_FAILED && second != MAP_FAILED &&
          !in_scratch(small) && in_scratch(large) && in_scratch(second));
    CHECK(is_filled(large, 4 * MIB, 0) && is_filled(second, 4 * MIB, 0));
}

/* What was unmapped is handed out again, zero; the block behind it keeps its bytes. */
static uint8_t *reused_block(uint8_t *large, uint8_t *second)
{
    memset(large, 1, 4 * MIB);
    memset(second, 2, 4 * MIB);
    CHECK(munmap(large, 4 * MIB) == 0);
    uint8_t *again = map(4 * MIB);
    CHECK(again == large && is_filled(again, 4 * MIB, 0) && is_filled(second, 4 * MIB, 2));
    return again;
}

/* A block that grows moves with its bytes, and stays where it is when it shrinks (to 1 MiB). */
static uint8_t *resized_block(uint8_t *block)
{
    memset(block, 3, 4 * MIB);
    uint8_t *moved = mremap(block, 4 * MIB, 6 * MIB, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != block && is_filled(moved, 4 * MIB, 3) &&
          is_filled(moved + 4 * MIB, 2 * MIB, 0));
    CHECK(mremap(moved, 6 * MIB, 1 * MIB, 0) == moved && is_filled(moved, 1 * MIB, 3));
    return moved;
}

static void changed_parts(uint8_t *second)
{
    CHECK(madvise(second, 2 * MIB, MADV_DONTNEED) == 0 && is_filled(second, 2 * MIB, 0) &&
          is_filled(second + 2 * MIB, 2 * MIB, 2));
    CHECK(mmap(second, 1 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) == second);
    CHECK(mprotect(second, 4 * MIB, PROT_READ) == 0 &&
          mprotect(second, 4 * MIB, PROT_READ | PROT_WRITE) == 0);
}

static void blocks(void)
{
    uint8_t *small = map(64 << 10), *large = map(4 * MIB), *second = map(4 * MIB);
    new_blocks(small, large, second);
    uint8_t *resized = resized_block(reused_block(large, second));
    changed_parts(second);
    CHECK(munmap(second + UDFVM_PAGE_SIZE, UDFVM_PAGE_SIZE) == 0 && munmap(second, 4 * MIB) == 0 &&
          munmap(resized, 1 * MIB) == 0 && munmap(small, 64 << 10) == 0);
}

static void executable(void)
{
    static const uint8_t code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
    uint8_t *block = map(1 * MIB);
    CHECK(in_scratch(block));
    memcpy(block, code, sizeof code);
    CHECK(mprotect(block, 1 * MIB, PROT_READ | PROT_EXEC) == 0 && ((int (*)(void))block)() == 42);
    CHECK(munmap(block, 1 * MIB) == 0);
}

static void limit(void)
{
    static uint8_t *taken[1024];
    size_t count = 0;
    while (count < 1024 && (taken[count] = map(1 * MIB)) != MAP_FAILED)
        memset(taken[count++], 5, 1 * MIB);
    CHECK(errno == ENOMEM && count > 20 && count < 64); /* of a VM of 64 MiB */
    CHECK(map(2 * MIB) == MAP_FAILED && errno == ENOMEM);
    for (size_t i = 0; i < count; i++)
        CHECK(munmap(taken[i], 1 * MIB) == 0);
    uint8_t *large = map((count - 4) * MIB);
    CHECK(large != MAP_FAILED && is_filled(large, (count - 4) * MIB, 0) &&
          munmap(large, (count - 4) * MIB) == 0);
}

static void system_calls(void)
{
    char *block = (char *)map(1 * MIB);
    int fds[2];
    CHECK(in_scratch(block) && pipe(fds) == 0 && write(fds[1], "through", 8) == 8 &&
          read(fds[0], block + 1000, 8) == 8);
    CHECK(strcmp(block + 1000, "through") == 0 && write(fds[1], block + 1000, 8) == 8 &&
          close(fds[0]) == 0 && close(fds[1]) == 0);
    CHECK(pipe(fds) == 0 && write(fds[1], "xy", 2) == 2 &&
          read(fds[0], (void *)(UDFVM_OUTPUT_BASE + 3 * MIB), 1) == 1);
    errno = 0;
    CHECK(read(fds[0], (void *)(call->scratch_end + MIB), 1) == -1 && errno == EFAULT);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0 && munmap(block, 1 * MIB) == 0);
}

int main(void)
{
    uint8_t *before = map(4 * MIB);
    CHECK(before != MAP_FAILED && !in_scratch(before));
    memset(before, 7, 4 * MIB);
    for (seal();; failures = 0) {
        uint64_t *rest = (uint64_t *)(UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT + 64);
        CHECK(*rest == 0); /* the window past its narrow part opens by a fault */
        *rest = 1;
        CHECK(is_filled(before, 4 * MIB, 7));
        before[100] = 8;
        system_calls();
        blocks();
        executable();
        limit();
        printf("answered\n");
        fflush(stdout);
        before[100] = 7;
        *rest = 0;
        reply[0] = (uint64_t)failures;
        complete(UDFVM_STATUS_OK, 8);
    }
}
