/* Two heaps in an address space: the one of this program's C library, and one that begins below.
 * Run where programs are put high. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "check.h"

#define PAGE         4096ul
#define PROGRAM_BASE ((uint8_t *)UDFVM_PROGRAM_BASE)

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
    CHECK(first > PROGRAM_BASE + 256 * PAGE);
    CHECK(begin(closed) == -1 && errno == EINVAL);
    CHECK(begin(NULL) == -1 && errno == EINVAL);
    CHECK(prctl(PR_SET_MM, PR_SET_MM_BRK, PROGRAM_BASE, 0, 0) == -1 && errno == EINVAL);
    CHECK(begin(PROGRAM_BASE) == 0);
    CHECK(begin(PROGRAM_BASE) == -1 && errno == EINVAL);
    CHECK(set_break(NULL) == PROGRAM_BASE);
    CHECK(set_break(PROGRAM_BASE + 3 * PAGE) == PROGRAM_BASE + 3 * PAGE);
    memset(PROGRAM_BASE, 1, 3 * PAGE);
    CHECK(set_break(closed + PAGE) == closed); /* who had the first is told where it ended */
    CHECK(set_break(closed - PAGE) == PROGRAM_BASE + 3 * PAGE); /* too far for the second */
    for (int i = 0; i < 500; i++) { /* the C library maps memory from now on */
        blocks[i] = malloc(10000);
        CHECK(blocks[i] != NULL && (blocks[i] < PROGRAM_BASE || blocks[i] >= first));
        memset(blocks[i], 2, 10000);
    }
    CHECK(set_break(PROGRAM_BASE + 200 * PAGE) == PROGRAM_BASE + 200 * PAGE);
    CHECK(PROGRAM_BASE[3 * PAGE - 1] == 1 && PROGRAM_BASE[3 * PAGE] == 0 &&
          PROGRAM_BASE[200 * PAGE - 1] == 0);
    CHECK(set_break(PROGRAM_BASE) == PROGRAM_BASE);
    for (int i = 0; i < 500; i++)
        CHECK(blocks[i][9999] == 2);
    return DONE();
}
