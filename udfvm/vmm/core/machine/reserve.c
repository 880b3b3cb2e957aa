/* The reserve: see reserve.h.
 *
 * Entries for single pages change at any time; what leads to them never changes but from not
 * present to present, as everywhere in the page tables. KVM, which under PVM keeps its own tables
 * in the place of the guest's, sees an entry that becomes present, or writable, without being told.
 * Of one that ceases to be so it learns through what the entry led to: memory whose protection
 * changes in this process (mprotect(2)) is taken out of all of KVM's tables, and translations of
 * it out of the processor. The next access then walks the guest's tables.
 */
#include "machine/reserve.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "machine/machine.h"

#define ENTRY_PRESENT 0x25ull /* and for ring 3; accessed: see system_area.c */
#define ENTRY_WRITE   0x42ull /* and dirty */
#define TABLE         (ENTRY_PRESENT | ENTRY_WRITE)

/* Frames that lost an entry. */
struct frames {
    uint64_t low, high;
};

static uint64_t memory_end(const struct machine *machine)
{
    return SYSTEM_SIZE + machine->memory_bytes;
}

/* ---- Tables ---- */

int udfvm_reserve_open(struct machine *machine, struct udfvm_error *error)
{
    struct reserve *reserve = &machine->reserve;
    if (reserve->tables)
        return UDFVM_OK;
    const uint32_t capacity = udfvm_reserve_capacity(memory_end(machine));
    const uint64_t bytes = capacity * PAGE;
    uint64_t *pools = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pools == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping page tables");
    madvise(pools, 2 * bytes, MADV_DONTFORK);
    const int code = udfvm_machine_add_tables(machine, pools, bytes, &reserve->physical, error);
    if (code != UDFVM_OK) {
        munmap(pools, 2 * bytes);
        return code;
    }
    reserve->tables = pools;
    reserve->expected = udfvm_reserve_pick(pools, capacity);
    reserve->capacity = capacity;
    return UDFVM_OK;
}

void udfvm_reserve_destroy(struct machine *machine)
{
    struct reserve *reserve = &machine->reserve;
    if (reserve->tables)
        munmap(reserve->tables, 2 * reserve->capacity * PAGE);
    reserve->tables = NULL;
}

/* A table that nothing leads to yet; one more than its index, 0 where there is none. */
static uint32_t take_table(struct reserve *reserve)
{
    if (reserve->count == reserve->capacity)
        reserve->spent = true;
    return reserve->spent ? 0 : ++reserve->count;
}

static uint64_t entry_of_table(const struct reserve *reserve, uint32_t taken)
{
    return (reserve->physical + (taken - 1) * PAGE) | TABLE;
}

/* What the host looks at is its own copy. */
static uint64_t *place_of(const struct reserve *reserve, uint32_t directory, uint64_t virtual)
{
    return udfvm_reserve_pick(reserve->expected, directory - 1) +
           virtual / HUGE_PAGE % TABLE_ENTRIES;
}

static uint64_t gibibyte_of(uint64_t virtual)
{
    return (virtual - UDFVM_RESERVE_BASE) / GIBIBYTE;
}

uint32_t udfvm_reserve_find(const struct machine *machine, uint64_t virtual)
{
    const struct reserve *reserve = &machine->reserve;
    const uint32_t directory = reserve->directories[gibibyte_of(virtual)];
    const uint64_t entry = directory ? *place_of(reserve, directory, virtual) : 0;
    return entry ? (uint32_t)(((entry & RESERVE_FRAME) - reserve->physical) / PAGE) + 1 : 0;
}

/* The same, of a table that is made if there is none, if there are more. */
static uint32_t table_of(struct machine *machine, uint64_t virtual)
{
    struct reserve *reserve = &machine->reserve;
    uint32_t *directory = &reserve->directories[gibibyte_of(virtual)];
    uint32_t taken = udfvm_reserve_find(machine, virtual);
    if (taken)
        return taken;
    if (!*directory && (*directory = take_table(reserve)))
        udfvm_system_area_lead(machine, virtual, entry_of_table(reserve, *directory));
    taken = *directory ? take_table(reserve) : 0;
    if (taken) {
        uint64_t *place = place_of(reserve, *directory, virtual);
        *place = entry_of_table(reserve, taken);
        reserve->tables[place - reserve->expected] = *place;
    }
    return taken;
}

/* ---- Entries ---- */

static uint64_t entry_of_page(uint64_t frame, uint64_t access)
{
    return access == UDFVM_MAP_NOTHING
               ? 0
               : frame | ENTRY_PRESENT | (access == UDFVM_MAP_WRITE ? ENTRY_WRITE : 0);
}

/* Exchanges an entry, and notes the frame that KVM must be told of. False: the host did not write
 * what was there. */
static bool exchange(const struct machine *machine, uint64_t *entry, uint64_t by,
                     struct frames *lost)
{
    const uint64_t was = *entry, frame = was & RESERVE_FRAME;
    *entry = by;
    if (!was || was == by || (was | ENTRY_WRITE) == by)
        return true;
    if (!udfvm_reserve_has_frames(memory_end(machine), frame, 1))
        return false;
    lost->low = frame < lost->low ? frame : lost->low;
    lost->high = frame + PAGE > lost->high ? frame + PAGE : lost->high;
    return true;
}

/* KVM forgets what leads to frames. */
static int tell(struct machine *machine, const struct frames *lost, struct udfvm_error *error)
{
    if (lost->low >= lost->high)
        return UDFVM_OK;
    return udfvm_machine_refresh(machine, lost->low, lost->high - lost->low, error);
}

#define NO_FRAMES { .low = UINT64_MAX, .high = 0 }

/* One table's part of [virtual, end). */
static bool map_in_table(struct machine *machine, uint64_t virtual, uint64_t end, uint64_t frame,
                         uint64_t access, struct frames *lost)
{
    struct reserve *reserve = &machine->reserve;
    const uint32_t taken = access == UDFVM_MAP_NOTHING ? udfvm_reserve_find(machine, virtual)
                                                       : table_of(machine, virtual);
    if (!taken)
        return access == UDFVM_MAP_NOTHING;
    uint64_t *entries = udfvm_reserve_pick(reserve->tables, taken - 1);
    for (; virtual < end; virtual += PAGE, frame += PAGE)
        if (!exchange(machine, &entries[virtual / PAGE % TABLE_ENTRIES],
                      entry_of_page(frame, access), lost))
            reserve->spent = true;
    return true;
}

static bool may_be_mapped(const struct machine *machine, uint64_t virtual, uint64_t frame,
                          uint64_t pages, uint64_t access)
{
    return access <= UDFVM_MAP_WRITE &&
           udfvm_reserve_has_pages(virtual, pages, UDFVM_RESERVE_BASE, UDFVM_RESERVE_END) &&
           (access == UDFVM_MAP_NOTHING ||
            udfvm_reserve_has_frames(memory_end(machine), frame, pages));
}

int64_t udfvm_reserve_map(struct machine *machine, uint64_t virtual, uint64_t frame, uint64_t pages,
                          uint64_t access, struct udfvm_error *error)
{
    struct frames lost = NO_FRAMES;
    const uint64_t end = virtual + pages * PAGE;
    bool all = true;
    if (!may_be_mapped(machine, virtual, frame, pages, access))
        return -EINVAL;
    if (!machine->reserve.tables)
        return access == UDFVM_MAP_NOTHING || pages == 0 ? 0 : -ENOMEM;
    machine->reserve.changed = true;
    while (virtual < end && all) {
        const uint64_t next = (virtual / HUGE_PAGE + 1) * HUGE_PAGE, to = next < end ? next : end;
        all = map_in_table(machine, virtual, to, frame, access, &lost);
        frame += to - virtual;
        virtual = to;
    }
    if (tell(machine, &lost, error) != UDFVM_OK)
        return -EIO;
    return all ? 0 : -ENOMEM;
}

/* ---- Between calls ---- */

bool udfvm_reserve_each(struct machine *machine, reserve_visit *visit, void *context)
{
    struct reserve *reserve = &machine->reserve;
    for (uint64_t gibibyte = 0; gibibyte < RESERVE_GIBIBYTES; gibibyte++) {
        const uint32_t directory = reserve->directories[gibibyte];
        for (uint64_t place = 0; directory && place < TABLE_ENTRIES; place++) {
            const uint64_t virtual = UDFVM_RESERVE_BASE + gibibyte * GIBIBYTE + place * HUGE_PAGE;
            const uint32_t taken = udfvm_reserve_find(machine, virtual);
            if (taken && !visit(machine, virtual, taken - 1, context))
                return false;
        }
    }
    return true;
}

static bool put_back(struct machine *machine, uint64_t virtual, uint32_t index, void *context)
{
    struct reserve *reserve = &machine->reserve;
    uint64_t *now = udfvm_reserve_pick(reserve->tables, index),
             *expected = udfvm_reserve_pick(reserve->expected, index);
    (void)virtual;
    if (memcmp(now, expected, PAGE) == 0)
        return true;
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
        if (!exchange(machine, &now[i], expected[i], context))
            reserve->spent = true;
    return true;
}

int udfvm_reserve_restore(struct machine *machine, struct udfvm_error *error)
{
    struct reserve *reserve = &machine->reserve;
    struct frames lost = NO_FRAMES;
    if (!reserve->changed)
        return UDFVM_OK;
    udfvm_reserve_each(machine, put_back, &lost);
    reserve->changed = false;
    if (reserve->count > reserve->capacity / 4 * 3)
        reserve->spent = true;
    return tell(machine, &lost, error);
}

static bool empty(struct machine *machine, uint64_t virtual, uint32_t index, void *context)
{
    (void)virtual, (void)context;
    memset(udfvm_reserve_pick(machine->reserve.expected, index), 0, PAGE);
    return true;
}

static int expect(struct machine *machine, const struct reserve_run *run, struct udfvm_error *error)
{
    for (uint64_t page = 0; page < run->pages; page++) {
        const uint64_t virtual = run->virtual + page * PAGE;
        const uint32_t taken = table_of(machine, virtual);
        if (!taken)
            return udfvm_fail(error, UDFVM_E_IMAGE, "too few page tables for what the image maps");
        udfvm_reserve_pick(machine->reserve.expected, taken - 1)[virtual / PAGE % TABLE_ENTRIES] =
            entry_of_page(run->frame + page * PAGE, run->access);
    }
    return UDFVM_OK;
}

int udfvm_reserve_bind(struct machine *machine, const struct reserve_run *runs, uint64_t count,
                       struct udfvm_error *error)
{
    if (count)
        UDFVM_TRY(udfvm_reserve_open(machine, error));
    if (!machine->reserve.tables)
        return UDFVM_OK;
    udfvm_reserve_each(machine, empty, NULL);
    for (uint64_t i = 0; i < count; i++)
        UDFVM_TRY(expect(machine, &runs[i], error));
    machine->reserve.changed = true;
    return udfvm_reserve_restore(machine, error);
}

int udfvm_reserve_renew(struct machine *machine, struct udfvm_error *error)
{
    struct reserve *reserve = &machine->reserve;
    if (!reserve->tables)
        return UDFVM_OK;
    if (madvise(reserve->tables, 2 * reserve->capacity * PAGE, MADV_DONTNEED))
        return udfvm_fail_errno(error, "dropping page tables");
    memset(reserve->directories, 0, sizeof reserve->directories);
    reserve->count = 0;
    reserve->changed = reserve->spent = false;
    return UDFVM_OK;
}

bool udfvm_reserve_is_expected(const struct machine *machine)
{
    const struct reserve *reserve = &machine->reserve;
    return !reserve->tables ||
           memcmp(reserve->tables, reserve->expected, reserve->count * PAGE) == 0;
}
