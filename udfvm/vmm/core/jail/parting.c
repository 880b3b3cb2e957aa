/* Which processor the process of a jailed VM is on. Linux likes to place who wakes and who is woken
 * on one processor, and leaves them there, as never both can run. There each message and each
 * answer costs a change of threads, some 8 us: half of what a call takes. So after some calls in a
 * row that began so, the process has to run elsewhere for a call, and mostly stays there.
 *
 * This program moves it, as the process may not choose its processors itself. Linux lets it do so
 * if both are of one user, or with CAP_SYS_NICE: sched_setaffinity(2). */
#include <sched.h>

#include "base/process.h"
#include "jail/cell.h"

#define FIRST_PATIENCE 8u /* small calls: moving costs as much as two of them on one processor */
#define MOST_PATIENCE  4096u
#define SMALL_BYTES    (128ull << 10) /* a request of so many weighs as much as two small ones */

static atomic_uint calls; /* of jailed VMs, that run */

/* Whether there are processors for all calls and their processes. */
static bool is_room(void)
{
    return 2 * atomic_load_explicit(&calls, memory_order_relaxed) <= udfvm_processors();
}

/* Where Linux moves it back soon, it is moved more and more rarely. What is restored while the next
 * request is written, and the other way round, weighs by its length. */
static bool has_patience(struct parting *parting, bool together, uint64_t length)
{
    const uint64_t weight = 1 + length / SMALL_BYTES;
    if (parting->patience < FIRST_PATIENCE)
        parting->patience = FIRST_PATIENCE;
    if (!together) {
        const uint64_t more = parting->patience - FIRST_PATIENCE;
        parting->together = 0;
        parting->patience -= weight < more ? (unsigned)weight : (unsigned)more;
        return true;
    }
    parting->together += weight;
    if (parting->together < parting->patience || !is_room())
        return true;
    parting->together = 0;
    parting->patience = parting->patience < MOST_PATIENCE ? 2 * parting->patience : MOST_PATIENCE;
    return false;
}

void udfvm_cell_begin_call(struct cell *cell, uint64_t length)
{
    struct parting *parting = &cell->parting;
    const int here = sched_getcpu(), there = atomic_load_explicit(
                                         &cell->control->answered.processor, memory_order_relaxed);
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    parting->moved = false;
    if (has_patience(parting, here == there, length) || cell->pid <= 0 || here < 0 ||
        here >= CPU_SETSIZE ||
        sched_getaffinity(cell->pid, sizeof parting->usual, &parting->usual) < 0)
        return;
    cpu_set_t others = parting->usual;
    CPU_CLR((size_t)here, &others);
    parting->moved = CPU_COUNT(&others) > 0 &&
                     sched_setaffinity(cell->pid, sizeof others, &others) == 0;
}

void udfvm_cell_end_call(struct cell *cell)
{
    struct parting *parting = &cell->parting;
    atomic_fetch_sub_explicit(&calls, 1, memory_order_relaxed);
    if (parting->moved) /* it stays where it is, until Linux moves it */
        sched_setaffinity(cell->pid, sizeof parting->usual, &parting->usual);
    parting->moved = false;
}

void udfvm_parting_forget(void)
{
    atomic_store(&calls, 0);
}
