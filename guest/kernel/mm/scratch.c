/* The scratch area, for large memory blocks of a call.
 *
 * The host does not log writes to it, so the first write to a page costs no fault, and zeroes it
 * after the call. Sealed memory must not lie there, so the area is available only in calls. It
 * counts as program memory does.
 */
#include "mm/scratch.h"
#include "host/call.h"
#include "host/hypercall.h"
#include "mm/regions.h"
#include "mm/report.h"

#define MIN_SCRATCH                                                              \
    (512ull << 10) /* smaller blocks come from the heap, whose pages calls reuse \
                    */
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
    opened = false; /* VMs of the image begin with it closed */
}

uint64_t scratch_find(uint64_t length, int protection, int flags)
{
    const uint64_t start = call_page()->scratch_start, end = call_page()->scratch_end;
    if (length < MIN_SCRATCH || length > end - start || protection != (PROT_READ | PROT_WRITE) ||
        (flags & ~ORDINARY))
        return 0;
    struct memory_statistics statistics;
    memory_statistics(&statistics);
    uint64_t address = statistics.used + length <= statistics.total ? gap_lowest(length, start, end)
                                                                    : 0;
    return address && scratch_open() ? address : 0;
}
