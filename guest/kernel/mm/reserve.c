/* The reserve. Its regions take memory only where they are, or were, accessible: there they have
 * frames, pages of program memory that the host maps to them. The map of regions has the frames as
 * the kernel's own, so nothing else is placed there.
 *
 * Each mapping costs a hypercall. So what grows in small steps, as the heaps of threads do in the
 * C library, has frames ahead of what is accessible to the program. */
#include "mm/reserve.h"
#include "host/hypercall.h"
#include "mm/file_memory.h"
#include "mm/pages.h"
#include "mm/regions.h"
#include "mm/report.h"

#define TABLE_BYTES (2ull << 20)  /* that one page table of the host's is for */
#define SMALL_STEP  (64ull << 10) /* less than a page of WebAssembly, whose end must be exact */
#define AHEAD       (1ull << 20)
#define LAZY_STEP   (128ull << 10) /* at a time, of a stack */

bool in_reserve(uint64_t address, uint64_t length)
{
    return address >= UDFVM_RESERVE_BASE && address <= UDFVM_RESERVE_END &&
           length <= UDFVM_RESERVE_END - address;
}

uint64_t reserve_place(uint64_t length)
{
    if (length == PAGE_SIZE) /* guards share tables, if they need any */
        return gap_lowest(length, UDFVM_RESERVE_BASE, UDFVM_RESERVE_END);
    const uint64_t address = gap_lowest(length + TABLE_BYTES, UDFVM_RESERVE_BASE,
                                        UDFVM_RESERVE_END);
    return address ? (address + TABLE_BYTES - 1) & ~(TABLE_BYTES - 1) : 0;
}

static uint8_t access_of(int protection)
{
    return protection == PROT_NONE     ? UDFVM_MAP_NOTHING
           : (protection & PROT_WRITE) ? UDFVM_MAP_WRITE
                                       : UDFVM_MAP_READ;
}

static int64_t map(uint64_t start, uint64_t end, uint64_t frame, uint8_t access)
{
    return hypercall(UDFVM_HYPERCALL_MAP, start, frame, (end - start) / PAGE_SIZE, access, 0);
}

/* The region of an address, as far as `end`. NULL where none is. */
static const struct region *region_of(uint64_t address, uint64_t end, uint64_t *region_end)
{
    const size_t index = region_find(address);
    const struct region *region = index < region_count() ? region_at(index) : NULL;
    if (!region || region->start > address)
        return NULL;
    *region_end = minimum(region->end, end);
    return region;
}

static uint64_t frame_of(const struct region *region, uint64_t address)
{
    return region->frame ? region->frame + (address - region->start) : 0;
}

/* ---- Frames ---- */

/* Free pages, at best behind the frames of the page before; fewer than wanted where there is no
 * such gap. 0 where there is none. */
static uint64_t find_frames(uint64_t start, uint64_t *length)
{
    uint64_t end;
    const struct region *before = region_of(start - PAGE_SIZE, start, &end);
    const uint64_t next = before && before->frame ? frame_of(before, start) : 0;
    if (next && next + *length <= program_end && range_is_free(next, next + *length))
        return next;
    for (; *length >= PAGE_SIZE; *length = page_down(*length / 2)) {
        const uint64_t frame = gap_highest(*length, program_start, program_end);
        if (frame)
            return frame;
    }
    return 0;
}

static bool over_limit(uint64_t length)
{
    struct memory_statistics statistics;
    memory_statistics(&statistics);
    return statistics.used + length > statistics.total;
}

/* Gives a range of one region frames from its start on; the end of those, or a negative errno. */
static int64_t add_frames(uint64_t start, uint64_t end, uint8_t access)
{
    uint64_t length = end - start;
    if (!regions_have_capacity(4) || over_limit(length))
        return -ENOMEM;
    const uint64_t frame = find_frames(start, &length);
    if (!frame)
        return -ENOMEM;
    region_insert((struct region){ .start = frame,
                                   .end = frame + length,
                                   .use = REGION_KERNEL,
                                   .protection = PROT_READ | PROT_WRITE });
    pages_hand_out(frame, frame + length, true);
    const int64_t error = map(start, start + length, frame, access);
    if (error) {
        regions_remove(frame, frame + length);
        return error;
    }
    regions_set_frames(start, start + length, frame, access);
    return (int64_t)(start + length);
}

/* How far frames go that were asked for up to `end`. */
static uint64_t end_of_step(uint64_t start, uint64_t end, int protection)
{
    uint64_t before_end, ahead;
    const struct region *before = region_of(start - PAGE_SIZE, start, &before_end);
    if (end - start >= SMALL_STEP || !before || !before->frame || before->protection != protection)
        return end;
    const struct region *region = region_of(start, start + AHEAD, &ahead);
    return region && !region->frame && ahead > end && !over_limit(ahead - start) ? ahead : end;
}

static int64_t change_access(const struct region *region, uint64_t start, uint64_t end,
                             uint8_t access)
{
    const uint64_t frame = frame_of(region, start);
    if (region->access == access)
        return 0;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    const int64_t error = map(start, end, frame, access);
    if (!error)
        regions_set_frames(start, end, frame, access);
    return error;
}

/* A stack is used from its end on. */
static uint64_t last_step(uint64_t start, uint64_t end)
{
    return end - start > LAZY_STEP ? end - LAZY_STEP : start;
}

int64_t reserve_give(uint64_t start, uint64_t end, int protection)
{
    const uint8_t access = access_of(protection);
    while (start < end) {
        uint64_t region_end;
        const struct region *region = region_of(start, end, &region_end);
        if (!region)
            return -ENOMEM;
        if (region->frame) {
            const int64_t error = change_access(region, start, region_end, access);
            if (error)
                return error;
        } else if (access != UDFVM_MAP_NOTHING) {
            const uint64_t from = region->lazy ? last_step(start, region_end) : start;
            const int64_t to = add_frames(from, end_of_step(from, region_end, protection), access);
            if (to < 0)
                return to;
            region_end = (uint64_t)to;
        }
        start = region_end;
    }
    return 0;
}

static bool is_lazy(const struct region *region)
{
    return region->lazy && !region->frame && region->protection != PROT_NONE;
}

bool reserve_fill(uint64_t address, bool writing)
{
    uint64_t end;
    const uint64_t step = address & ~(LAZY_STEP - 1);
    const struct region *region = in_reserve(address, 1)
                                      ? region_of(address, step + LAZY_STEP, &end)
                                      : NULL;
    if (!region || !is_lazy(region) || (writing && !(region->protection & PROT_WRITE)))
        return false;
    const uint8_t access = access_of(region->protection);
    int64_t done = (int64_t)maximum(region->start, step);
    while (done > 0 && (uint64_t)done < end)
        done = add_frames((uint64_t)done, end, access);
    if (done < 0)
        memory_note_refusal(LAZY_STEP);
    return done > 0;
}

void reserve_fill_range(uint64_t start, uint64_t end)
{
    while (start < end) {
        const size_t index = region_find(start);
        if (index == region_count() || region_at(index)->start >= end)
            return;
        const struct region *region = region_at(index);
        const uint64_t from = maximum(region->start, start);
        start = region->end;
        if (is_lazy(region))
            start = reserve_fill(from, false) ? from : end;
    }
}

static bool has_access(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->access != UDFVM_MAP_NOTHING)
            return true;
    return false;
}

/* If the map of regions is full, frames are lost for other uses. */
void reserve_release(uint64_t start, uint64_t end)
{
    if (has_access(start, end))
        map(start, end, 0, UDFVM_MAP_NOTHING);
    while (start < end) {
        const size_t index = region_find(start);
        if (index == region_count() || region_at(index)->start >= end)
            return;
        const struct region *region = region_at(index);
        const uint64_t from = maximum(region->start, start), to = minimum(region->end, end),
                       frame = frame_of(region, from);
        const bool lent = region->lent;
        if (frame && regions_have_capacity(4)) {
            regions_set_frames(from, to, 0, UDFVM_MAP_NOTHING);
            if (lent)
                file_memory_unmap(frame, frame + (to - from));
            else
                regions_remove(frame, frame + (to - from));
        }
        start = to;
    }
}

int64_t reserve_move(uint64_t to, uint64_t from, uint64_t length)
{
    for (uint64_t done = 0, end; done < length; done = end - from) {
        const struct region *region = region_of(from + done, from + length, &end);
        if (!region)
            return -EFAULT;
        const uint64_t frame = frame_of(region, from + done), pages = end - (from + done);
        const uint8_t access = region->access;
        if (!frame)
            continue;
        if (!regions_have_capacity(4))
            return -ENOMEM;
        int64_t error = access == UDFVM_MAP_NOTHING
                            ? 0
                            : map(to + done, to + done + pages, frame, access);
        if (!error && access != UDFVM_MAP_NOTHING)
            error = map(from + done, end, 0, UDFVM_MAP_NOTHING);
        if (error)
            return error;
        regions_set_frames(from + done, end, 0, UDFVM_MAP_NOTHING);
        regions_set_frames(to + done, to + done + pages, frame, access);
    }
    return 0;
}

/* ---- Contents ---- */

void reserve_zero(uint64_t start, uint64_t end)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++) {
        const struct region *region = region_at(index);
        const uint64_t from = maximum(region->start, start), to = minimum(region->end, end),
                       frame = frame_of(region, from);
        if (frame)
            pages_zero(frame, frame + (to - from));
    }
}

bool reserve_page_is_used(uint64_t address)
{
    uint64_t end;
    const struct region *region = region_of(address, address + PAGE_SIZE, &end);
    return region && region->frame && page_is_used(frame_of(region, address));
}

/* A processor may remember that a page could not be written, and asks nobody until it faulted. */
bool reserve_permits(uint64_t address, bool writing)
{
    uint64_t end;
    const struct region *region = in_reserve(address, 1) ? region_of(address, address + 1, &end)
                                                         : NULL;
    return region && region->frame &&
           region->access >= (writing ? UDFVM_MAP_WRITE : UDFVM_MAP_READ);
}
