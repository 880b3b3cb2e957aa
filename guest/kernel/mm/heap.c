/* The heap of brk(2).
 *
 * A program may run a second one in its own address space, with a C library of its own. It begins
 * another heap for that by prctl(PR_SET_MM, PR_SET_MM_START_BRK): otherwise both libraries would
 * use the end of one heap. This closes the first heap. A library that wants to grow it gets the old
 * end and maps memory instead. Addresses below its end belong to the other heap, so the first
 * program must not shrink its heap any more.
 */
#include "mm/heap.h"
#include "lib/string.h"
#include "mm/pages.h"
#include "mm/placement.h"
#include "mm/regions.h"
#include "mm/report.h"

static uint64_t heap_start, heap_limit, closed_end, first_limit;
static HOT_DATA uint64_t heap_end;

uint64_t mappings_start(void)
{
    return first_limit ? first_limit : program_start;
}

static void begin(uint64_t address, uint64_t limit)
{
    heap_start = heap_end = address;
    heap_limit = minimum(page_up(address) + page_down((program_end - program_start) / 4), limit);
}

void heap_set(uint64_t address)
{
    begin(address, program_end);
    first_limit = heap_limit;
}

int64_t heap_begin_other(uint64_t address)
{
    if (closed_end || address < program_start || address >= heap_start)
        return -EINVAL;
    closed_end = heap_end;
    begin(address, page_down(heap_start));
    return 0;
}

int64_t heap_break(uint64_t address)
{
    if (closed_end && address >= closed_end)
        return (int64_t)closed_end;
    if (address < heap_start || address > heap_limit || !regions_have_capacity(2))
        return (int64_t)heap_end;
    const uint64_t old_page = page_up(heap_end), new_page = page_up(address);
    if (new_page > old_page) {
        if (!range_is_free(old_page, new_page) || memory_over_limit(new_page - old_page) ||
            address_space_exceeded(0, new_page - old_page))
            return (int64_t)heap_end;
        region_insert((struct region){ .start = old_page,
                                       .end = new_page,
                                       .use = REGION_HEAP,
                                       .protection = PROT_READ | PROT_WRITE });
        pages_hand_out(old_page, new_page, true);
    } else if (address < heap_end) {
        if (new_page < old_page)
            regions_remove(new_page, old_page);
        memset((void *)address, 0, minimum(new_page, heap_end) - address);
    }
    heap_end = address;
    return (int64_t)heap_end;
}
