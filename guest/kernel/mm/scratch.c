/* The scratch area: where large blocks of memory lie that a call asks for.
 *
 * The host keeps no log of what is written there, so that the first write to a page costs no fault,
 * and has it zeroed after the call. What is sealed must not lie there: the area is offered for
 * calls only. It is counted as program memory is.
 */
#include "mm/scratch.h"
#include "host/call.h"
#include "host/hypercall.h"
#include "mm/regions.h"
#include "mm/report.h"

#define MIN_SCRATCH \
    (512ull << 10) /* smaller blocks are for the heap, whose pages calls use again and again */
#define ORDINARY \
    (MAP_TYPE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE | MAP_LOCKED | MAP_NONBLOCK)

static HOT_DATA bool opened;

uint64_t scratch_end(void)
{
    return call_page()->scratch_end;
}

bool scratch_holds(uint64_t address, uint64_t length)
{
    const uint64_t start = call_page()->scratch_start, end = call_page()->scratch_end;
    return address >= start && address <= end && length <= end - address;
}

bool scratch_open(void)
{
    if (!opened && !(call_page()->flags & UDFVM_CALL_UNLOGGED_OPEN) &&
        hypercall(UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0) != 0)
        return false;
    opened = true;
    return true;
}

bool scratch_open_for(uint64_t address)
{
    const bool closed = !opened && !(call_page()->flags & UDFVM_CALL_UNLOGGED_OPEN);
    return closed && address - UDFVM_OUTPUT_BASE >= UDFVM_LOGGED_OUTPUT &&
           address - UDFVM_OUTPUT_BASE < scratch_end() - UDFVM_OUTPUT_BASE && scratch_open();
}

void scratch_prepare_seal(void)
{
    opened = false; /* a VM on the image begins with it closed */
}

uint64_t scratch_find(uint64_t length, int protection, int flags)
{
    const uint64_t start = call_page()->scratch_start, end = call_page()->scratch_end;
    if (length < MIN_SCRATCH || length > end - start || protection != (PROT_READ | PROT_WRITE) ||
        (flags & ~ORDINARY))
        return 0;
    struct memory_statistics statistics;
    memory_statistics(&statistics);
    uint64_t at = statistics.used + length <= statistics.total ? gap_lowest(length, start, end) : 0;
    return at && scratch_open() ? at : 0;
}
