/* Unlogged memory: the output window past its first 2 MiB, and the scratch that calls use for large
 * blocks of memory.
 *
 * Where dirty pages are logged KVM maps memory by 4 KiB, and the first write to each costs a fault.
 * That is right for the few pages that a small call writes, and ruinous for results of megabytes.
 * So this memory is not logged and is backed by huge pages. What a call wrote in it is found by
 * what there is in it: it begins without a page, a page that is resident or swapped out was
 * touched, and one that is not zero is zeroed. The guest reaches it only once it asked for it, so
 * VMs of small calls pay nothing for it.
 *
 * Megabytes are zeroed by the worker from the moment of the restore on, and by whoever enters the
 * VM next, who first copies a batch into it: what is not zeroed by then is zeroed by both, and only
 * then the guest runs.
 *
 * Residency is asked of PAGEMAP_SCAN (Linux 6.7), before that read from the page map, an entry a
 * page; both also tell what is swapped out, which mincore(2) would not. Where neither can be read,
 * all its pages are dropped after each call. A window that is shared is a file, whose data and
 * holes lseek(2) tells apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "memory/memory.h"

#define CHUNK      (256ull << 10)
#define MIN_SHARED (1ull << 20) /* less is zeroed at once */

#define ENTRY_PRESENT (1ull << 63) /* Linux, Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRIES       4096u

#ifndef PAGEMAP_SCAN /* layout: Linux, Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
struct page_region {
    uint64_t start, end, categories;
};
struct pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

int udfvm_unlogged_open(struct guest_memory *memory, struct udfvm_error *error)
{
    struct machine *machine = memory->machine;
    if (machine->unlogged_bytes == 0 || machine->unlogged_open)
        return UDFVM_OK;
    UDFVM_TRY(udfvm_machine_open_unlogged(machine, error));
    if (!machine->shared)
        memory->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return UDFVM_OK;
}

/* Zeroes what is not zero; true if anything was. */
static bool zero(const uint8_t *from, const uint8_t *to)
{
    bool written = false;
    for (; from < to; from += PAGE)
        if (!udfvm_page_is_zero(from)) {
            udfvm_span_zero_page(from);
            written = true;
        }
    return written;
}

/* A chunk is CHUNK bytes of the extents one after the other. */
static void zero_chunk(struct work *work, size_t index)
{
    struct scrub *scrub = (struct scrub *)work;
    uint64_t skip = index * CHUNK, left = CHUNK;
    for (size_t i = 0; i < scrub->count && left; i++) {
        const uint64_t length = (uint64_t)(scrub->extents[i].to - scrub->extents[i].from);
        if (skip >= length) {
            skip -= length;
            continue;
        }
        const uint64_t part = length - skip < left ? length - skip : left;
        if (zero(scrub->extents[i].from + skip, scrub->extents[i].from + skip + part))
            atomic_store_explicit(&scrub->written, true, memory_order_relaxed);
        left -= part;
        skip = 0;
    }
}

static uint64_t bytes_of(const struct scrub *scrub)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < scrub->count; i++)
        bytes += (uint64_t)(scrub->extents[i].to - scrub->extents[i].from);
    return bytes;
}

static void begin(struct scrub *scrub, bool any)
{
    const uint64_t bytes = bytes_of(scrub);
    scrub->work = (struct work){ .chunk = zero_chunk, .chunks = (bytes + CHUNK - 1) / CHUNK };
    scrub->pending = any;
    if (bytes >= MIN_SHARED)
        udfvm_work_offer(&scrub->work);
}

static void zero_now(struct scrub *scrub)
{
    scrub->zeroed += bytes_of(scrub);
    for (size_t i = 0; i < scrub->count; i++)
        if (zero(scrub->extents[i].from, scrub->extents[i].to))
            atomic_store_explicit(&scrub->written, true, memory_order_relaxed);
    scrub->count = 0;
}

static void add_extent(struct scrub *scrub, uint64_t from, uint64_t to)
{
    struct extent *last = scrub->count ? &scrub->extents[scrub->count - 1] : NULL;
    if (last && last->to == (const uint8_t *)from) {
        last->to = (const uint8_t *)to;
        return;
    }
    if (scrub->count == MAX_EXTENTS)
        zero_now(scrub);
    scrub->extents[scrub->count++] = (struct extent){ (const uint8_t *)from, (const uint8_t *)to };
}

static bool scan_regions(struct guest_memory *memory, uint64_t start, uint64_t end)
{
    struct page_region regions[MAX_EXTENTS] = { { .start = 0 } };
    struct pm_scan_arg arguments = {
        .size = sizeof arguments,
        .start = start,
        .end = end,
        .vec = (uint64_t)regions,
        .vec_len = MAX_EXTENTS,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };
    for (; arguments.start < end; arguments.start = arguments.walk_end) {
        const int count = ioctl(memory->pagemap, PAGEMAP_SCAN, &arguments);
        if (count < 0 || arguments.walk_end <= arguments.start)
            return false;
        for (int i = 0; i < count; i++)
            add_extent(&memory->scrub, regions[i].start, regions[i].end);
    }
    return true;
}

static bool scan_entries(struct guest_memory *memory, uint64_t start, uint64_t end)
{
    uint64_t entries[ENTRIES];
    memory->scrub.count = 0;
    for (uint64_t address = start; address < end;) {
        const uint64_t left = (end - address) / PAGE, wanted = left < ENTRIES ? left : ENTRIES;
        const ssize_t bytes = pread(memory->pagemap, entries, wanted * sizeof *entries,
                                    (off_t)(address / PAGE * sizeof *entries));
        if (bytes < (ssize_t)sizeof *entries)
            return false;
        for (size_t i = 0; i < (size_t)bytes / sizeof *entries; i++, address += PAGE)
            if (entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED))
                add_extent(&memory->scrub, address, address + PAGE);
    }
    return true;
}

/* What a file of memory has there, swapped out or not, whichever process put it there: lseek(2),
 * SEEK_DATA. */
static bool scan_file(struct guest_memory *memory, uint64_t start, uint64_t end)
{
    const int file = memory->machine->output_file;
    for (uint64_t offset = UDFVM_LOGGED_OUTPUT, stop = offset + (end - start); offset < stop;) {
        const off_t data = lseek(file, (off_t)offset, SEEK_DATA);
        if (data < 0 || (uint64_t)data >= stop)
            return data >= 0 || errno == ENXIO;
        const off_t hole = lseek(file, data, SEEK_HOLE);
        if (hole <= data)
            return false;
        offset = (uint64_t)hole < stop ? (uint64_t)hole : stop;
        add_extent(&memory->scrub, start + (uint64_t)data - UDFVM_LOGGED_OUTPUT,
                   start + offset - UDFVM_LOGGED_OUTPUT);
    }
    return true;
}

static bool find_pages(struct guest_memory *memory, uint64_t start, uint64_t end)
{
    if (memory->machine->shared)
        return scan_file(memory, start, end);
    return memory->pagemap >= 0 &&
           (scan_regions(memory, start, end) || scan_entries(memory, start, end));
}

/* Finds what is resident or swapped out; false where that cannot be told. */
static bool scan(struct guest_memory *memory)
{
    const uint64_t start = (uint64_t)memory->machine->unlogged,
                   end = start + memory->machine->unlogged_bytes;
    if (!find_pages(memory, start, end))
        return false;
    begin(&memory->scrub, memory->scrub.count != 0 || atomic_load(&memory->scrub.written));
    return true;
}

static int drop(struct guest_memory *memory, struct udfvm_error *error)
{
    const struct machine *machine = memory->machine;
    if (machine->shared)
        memset(memory->scrub.joined, 0, sizeof memory->scrub.joined);
    if (udfvm_machine_drop(machine, machine->unlogged, machine->unlogged_bytes))
        return udfvm_fail_errno(error, "dropping the pages of unlogged memory");
    return UDFVM_OK;
}

/* Files of memory have small pages, unless the system's administrator wants it otherwise. What
 * calls use is therefore made of huge ones, each once. */
static void join_pages(struct guest_memory *memory)
{
    const struct machine *machine = memory->machine;
    struct scrub *scrub = &memory->scrub;
    for (size_t i = 0; i < scrub->count; i++) {
        const struct extent *extent = &scrub->extents[i];
        uint64_t page = ((uint64_t)(extent->from - machine->output) + HUGE_PAGE - 1) / HUGE_PAGE;
        for (; machine->output + (page + 1) * HUGE_PAGE <= extent->to; page++) {
            if (!(scrub->joined[page / 64] >> page % 64 & 1))
                udfvm_machine_join(machine->output + page * HUGE_PAGE, HUGE_PAGE);
            scrub->joined[page / 64] |= 1ull << page % 64;
        }
    }
}

int udfvm_unlogged_scrub(struct guest_memory *memory, struct udfvm_error *error)
{
    if (!memory->machine->unlogged_open)
        return UDFVM_OK;
    udfvm_unlogged_abandon(memory); /* of a restore that failed */
    memory->scrub.count = 0;
    memory->scrub.zeroed = 0;
    atomic_store(&memory->scrub.written, false);
    if (!scan(memory))
        return drop(memory, error);
    memory->large = memory->large || bytes_of(&memory->scrub) >= HUGE_PAGE;
    return bytes_of(&memory->scrub) >= MIN_SHARED ? UDFVM_OK : udfvm_unlogged_settle(memory, error);
}

uint64_t udfvm_unlogged_found(const struct guest_memory *memory)
{
    return memory->machine->unlogged_open ? memory->scrub.zeroed + bytes_of(&memory->scrub) : 0;
}

int udfvm_unlogged_settle(struct guest_memory *memory, struct udfvm_error *error)
{
    struct scrub *scrub = &memory->scrub;
    if (!scrub->pending)
        return UDFVM_OK;
    udfvm_work_finish(&scrub->work);
    scrub->pending = false;
    /* What a call did not use is given back, so that the next small calls have nothing to look
     * through. */
    if (!atomic_load(&scrub->written))
        return drop(memory, error);
    if (memory->machine->shared)
        join_pages(memory);
    return UDFVM_OK;
}

int udfvm_unlogged_drop(struct guest_memory *memory, struct udfvm_error *error)
{
    if (!memory->machine->unlogged_open)
        return UDFVM_OK;
    udfvm_unlogged_abandon(memory);
    memory->scrub.count = 0;
    return drop(memory, error);
}

void udfvm_unlogged_abandon(struct guest_memory *memory)
{
    if (memory->scrub.pending)
        udfvm_work_abandon(&memory->scrub.work);
    memory->scrub.pending = false;
}
