/* The wide area: the output window past its first 2 MiB, and the scratch that calls use for large blocks of memory.
 *
 * Where dirty pages are logged KVM maps memory by 4 KiB, and the first write to each costs a fault. That is right for the few pages that a
 * small call writes, and ruinous for results of megabytes. So this area is not logged and is backed by huge pages. What a call wrote in it is
 * found by what there is in it: it begins without a page, a page that is resident or swapped out was touched, and one that is not zero is
 * zeroed. The guest reaches it only once it asked for it, so VMs of small calls pay nothing for it.
 *
 * Residency is read with PAGEMAP_SCAN (Linux 6.7), which also finds what is swapped out; mincore(2) would not. Without it all pages of
 * the area are dropped after each call.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "internal.h"

#define REGIONS 64

#ifndef PAGEMAP_SCAN             /* layout: Linux, Documentation/admin-guide/mm/pagemap.rst */
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

int64_t udfvm_wide_open(struct udfvm_vm *vm)
{
    struct machine *machine = &vm->machine;
    if (machine->wide_bytes == 0)
        return -1;
    if (machine->wide_open)
        return 0;
    vm->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    udfvm_system_area_open(machine);
    machine->wide_open = true;
    return 0;
}

/* Zeroes what is not zero; true if anything was. */
static bool zero(uint8_t *from, const uint8_t *to)
{
    bool written = false;
    for (; from < to; from += PAGE)
        if (!udfvm_page_is_zero(from)) {
            memset(from, 0, PAGE);
            written = true;
        }
    return written;
}

enum residency { RESIDENT_NONE, RESIDENT_CLEAN, RESIDENT_WRITTEN, RESIDENCY_UNKNOWN };

static enum residency zero_resident(const struct udfvm_vm *vm)
{
    const uint64_t start = (uint64_t)vm->machine.wide, end = start + vm->machine.wide_bytes;
    enum residency found = RESIDENT_NONE;
    struct page_region regions[REGIONS] = { { .start = 0 } };
    struct pm_scan_arg scan = {
        .size = sizeof scan, .start = start, .end = end, .vec = (uint64_t)regions, .vec_len = REGIONS,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED, .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };
    if (vm->pagemap < 0)
        return RESIDENCY_UNKNOWN;
    for (; scan.start < end; scan.start = scan.walk_end) {
        int count = ioctl(vm->pagemap, PAGEMAP_SCAN, &scan);
        if (count < 0 || scan.walk_end <= scan.start)
            return RESIDENCY_UNKNOWN;
        for (int i = 0; i < count; i++) {
            bool written = zero((uint8_t *)regions[i].start, (const uint8_t *)regions[i].end);
            found = written || found == RESIDENT_WRITTEN ? RESIDENT_WRITTEN : RESIDENT_CLEAN;
        }
    }
    return found;
}

int udfvm_wide_scrub(struct udfvm_vm *vm, struct udfvm_error *error)
{
    const struct machine *machine = &vm->machine;
    if (!machine->wide_open)
        return UDFVM_OK;
    const enum residency found = zero_resident(vm);
    /* What a call did not use is given back, so that the next small calls have nothing to look through. */
    if ((found == RESIDENT_CLEAN || found == RESIDENCY_UNKNOWN) && madvise(machine->wide, machine->wide_bytes, MADV_DONTNEED))
        return udfvm_fail_errno(error, "dropping the pages of the wide area");
    return UDFVM_OK;
}
