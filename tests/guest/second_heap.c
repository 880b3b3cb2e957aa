/* Two heaps in an address space: the one of this program's C library, and one that begins below.
 * Run where programs are put high. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#define PAGE   4096ul
#define LOWEST ((uint8_t *)0x400000) /* of program memory */

static uint8_t *set_break(uint8_t *to)
{
    return (uint8_t *)syscall(SYS_brk, to);
}

static int begin(uint8_t *at)
{
    return prctl(PR_SET_MM, PR_SET_MM_START_BRK, at, 0, 0);
}

int main(void)
{
    static uint8_t *blocks[500];
    uint8_t *first = set_break(NULL);
    CHECK(malloc(1) != NULL); /* the C library has its heap */
    uint8_t *closed = set_break(NULL);
    CHECK(first > LOWEST + 256 * PAGE);
    CHECK(begin(closed) == -1 && errno == EINVAL);
    CHECK(begin(NULL) == -1 && errno == EINVAL);
    CHECK(prctl(PR_SET_MM, PR_SET_MM_BRK, LOWEST, 0, 0) == -1 && errno == EINVAL);
    CHECK(begin(LOWEST) == 0);
    CHECK(begin(LOWEST) == -1 && errno == EINVAL);
    CHECK(set_break(NULL) == LOWEST);
    CHECK(set_break(LOWEST + 3 * PAGE) == LOWEST + 3 * PAGE);
    memset(LOWEST, 1, 3 * PAGE);
    CHECK(set_break(closed + PAGE) == closed); /* who had the first is told where it ended */
    CHECK(set_break(closed - PAGE) == LOWEST + 3 * PAGE); /* too far for the second */
    for (int i = 0; i < 500; i++) { /* the C library maps memory from now on */
        blocks[i] = malloc(10000);
        CHECK(blocks[i] != NULL && (blocks[i] < LOWEST || blocks[i] >= first));
        memset(blocks[i], 2, 10000);
    }
    CHECK(set_break(LOWEST + 200 * PAGE) == LOWEST + 200 * PAGE);
    CHECK(LOWEST[3 * PAGE - 1] == 1 && LOWEST[3 * PAGE] == 0 && LOWEST[200 * PAGE - 1] == 0);
    CHECK(set_break(LOWEST) == LOWEST);
    for (int i = 0; i < 500; i++)
        CHECK(blocks[i][9999] == 2);
    return DONE();
}
