/* What of the reserve may be mapped, and what is: see reserve.h. */
#include "machine/reserve.h"

#include <stdlib.h>

#include "machine/machine.h"

#define ENTRY_WRITABLE 2u
#define SPARE_TABLES   256u
#define TABLES         8u /* for as much memory as one table maps: 1.6 % of that */

/* ---- What may be mapped ---- */

uint32_t udfvm_reserve_capacity(uint64_t memory_end)
{
    return (uint32_t)(TABLES * (memory_end / HUGE_PAGE)) + SPARE_TABLES;
}

bool udfvm_reserve_has_pages(uint64_t address, uint64_t pages, uint64_t start, uint64_t end)
{
    return address % PAGE == 0 && address >= start && address <= end &&
           pages <= (end - address) / PAGE;
}

/* The guard below the stack stays what it is, by any address. */
bool udfvm_reserve_has_frames(uint64_t end, uint64_t frame, uint64_t pages)
{
    const uint64_t guard_end = end - udfvm_stack_bytes(end),
                   guard_start = guard_end - UDFVM_STACK_GUARD;
    return udfvm_reserve_has_pages(frame, pages, UDFVM_PROGRAM_BASE, guard_start) ||
           udfvm_reserve_has_pages(frame, pages, guard_end, end);
}

bool udfvm_reserve_runs_valid(uint64_t end, const struct reserve_run *runs, uint64_t count)
{
    uint64_t free = UDFVM_RESERVE_BASE, tables = 0, directory = 0, last = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct reserve_run *run = &runs[i];
        if (run->pages == 0 ||
            !udfvm_reserve_has_pages(run->virtual, run->pages, free, UDFVM_RESERVE_END) ||
            !udfvm_reserve_has_frames(end, run->frame, run->pages) ||
            (run->access != UDFVM_MAP_READ && run->access != UDFVM_MAP_WRITE))
            return false;
        free = run->virtual + run->pages * PAGE;
        const uint64_t first_table = run->virtual / HUGE_PAGE, end_table = (free - 1) / HUGE_PAGE,
                       first_directory = run->virtual / GIBIBYTE,
                       end_directory = (free - 1) / GIBIBYTE;
        tables += end_table - first_table + (first_table != last) +
                  (end_directory - first_directory) + (first_directory != directory);
        last = end_table;
        directory = end_directory;
    }
    return tables <= udfvm_reserve_capacity(end);
}

/* ---- Looking ---- */

struct listing {
    struct reserve_run *runs;
    uint64_t count, capacity;
};

static bool list_page(struct listing *list, uint64_t virtual, uint64_t entry)
{
    const uint64_t frame = entry & RESERVE_FRAME,
                   access = entry & ENTRY_WRITABLE ? UDFVM_MAP_WRITE : UDFVM_MAP_READ;
    struct reserve_run *last = list->count ? &list->runs[list->count - 1] : NULL;
    if (last && last->virtual + last->pages * PAGE == virtual &&
        last->frame + last->pages * PAGE == frame && last->access == access) {
        last->pages++;
        return true;
    }
    if (list->count == list->capacity) {
        const uint64_t capacity = 2 * list->capacity + 16;
        struct reserve_run *grown = realloc(list->runs, capacity * sizeof *grown);
        if (!grown)
            return false;
        list->runs = grown;
        list->capacity = capacity;
    }
    list->runs[list->count++] = (struct reserve_run){ virtual, frame, 1, access };
    return true;
}

static bool list_table(struct machine *machine, uint64_t virtual, uint32_t index, void *context)
{
    const uint64_t *entries = udfvm_reserve_pick(machine->reserve.tables, index);
    for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
        if (entries[i] && !list_page(context, virtual + i * PAGE, entries[i]))
            return false;
    return true;
}

bool udfvm_reserve_runs(struct machine *machine, struct reserve_run **runs, uint64_t *count)
{
    struct listing list = { .runs = NULL };
    const bool listed = udfvm_reserve_each(machine, list_table, &list);
    if (!listed)
        free(list.runs);
    *runs = listed ? list.runs : NULL;
    *count = listed ? list.count : 0;
    return listed;
}

static uint64_t frame_at(const struct machine *machine, uint64_t virtual)
{
    const uint32_t taken = udfvm_reserve_find(machine, virtual);
    return taken ? udfvm_reserve_pick(machine->reserve.tables,
                                      taken - 1)[virtual / PAGE % TABLE_ENTRIES] &
                       RESERVE_FRAME
                 : 0;
}

const uint8_t *udfvm_reserve_address(const struct machine *machine, uint64_t address,
                                     uint64_t *length)
{
    if (!machine->reserve.tables || address < UDFVM_RESERVE_BASE || address >= UDFVM_RESERVE_END)
        return NULL;
    const uint64_t frame = frame_at(machine, address);
    if (!udfvm_reserve_has_frames(SYSTEM_SIZE + machine->memory_bytes, frame, 1))
        return NULL;
    uint64_t reach = PAGE - address % PAGE;
    while (reach < *length && address + reach < UDFVM_RESERVE_END &&
           frame_at(machine, address + reach) == frame + address % PAGE + reach &&
           udfvm_reserve_has_frames(SYSTEM_SIZE + machine->memory_bytes,
                                    frame + address % PAGE + reach, 1))
        reach += PAGE;
    *length = reach < *length ? reach : *length;
    return machine->memory + (frame - SYSTEM_SIZE) + address % PAGE;
}
