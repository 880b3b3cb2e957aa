/* brk: grows, shrinks, and is zero where it grows again. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul

static uint8_t *set_break(uint8_t *to)
{
    return (uint8_t *)syscall(SYS_brk, to);
}

static int is_zero(const uint8_t *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (at[i])
            return 0;
    return 1;
}

int main(void)
{
    uint8_t *start = set_break(NULL);
    CHECK(set_break(start + 10 * PAGE) == start + 10 * PAGE);
    CHECK(is_zero(start, 10 * PAGE));
    memset(start, 1, 10 * PAGE);
    CHECK(set_break(start + 2 * PAGE + 100) == start + 2 * PAGE + 100);
    CHECK(set_break(start + 5 * PAGE) == start + 5 * PAGE);
    CHECK(start[2 * PAGE + 99] == 1);
    CHECK(is_zero(start + 3 * PAGE, 2 * PAGE));
    CHECK(set_break(start) == start);
    CHECK(set_break((uint8_t *)1) == start); /* refused: the break stays */
    CHECK(set_break((uint8_t *)(1ul << 50)) == start);
    for (int i = 0; i < 100; i++) {
        CHECK(set_break(start + 64 * PAGE) == start + 64 * PAGE);
        CHECK(is_zero(start + PAGE, 63 * PAGE));
        memset(start + PAGE, i, 63 * PAGE);
        CHECK(set_break(start + PAGE) == start + PAGE);
    }
    CHECK(set_break(start) == start);
    return DONE();
}
