/* What a base image does not store: pages of zeros, holes of its file.
 *
 * Reading a hole through a mapping fills the page cache with zeros, and so does the first write of
 * a private mapping. So nobody looks there: the copy of what is pristine asks here first, and large
 * holes are anonymous memory in a VM, which costs what was written, once.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "image/image.h"

#define LARGE_HOLE ((uint64_t)1 << 20) /* smaller ones are not worth a mapping of their own */

/* Marks what is between two offsets in the file, and in program memory, as a hole. */
static void mark(struct udfvm_image *image, uint64_t from, uint64_t to)
{
    const uint64_t start = image->offset + image->header->pages_offset;
    const uint64_t end = (to - start) / PAGE;
    for (uint64_t page = (from - start + PAGE - 1) / PAGE; page < end;) {
        const bool whole = page % 64 == 0 && end - page >= 64;
        image->holes[page / 64] |= whole ? ~0ull : 1ull << page % 64;
        page += whole ? 64 : 1;
    }
}

/* The first page from `page` on, before `end`, that is a hole, or that is none; `end` if there is
 * none. */
static uint64_t find(const struct udfvm_image *image, bool hole, uint64_t page, uint64_t end)
{
    while (page < end) {
        const uint64_t bits = hole ? image->holes[page / 64] : ~image->holes[page / 64];
        const uint64_t left = bits >> page % 64;
        if (left) {
            page += (uint64_t)__builtin_ctzll(left);
            break;
        }
        page = (page / 64 + 1) * 64;
    }
    return page < end ? page : end;
}

int udfvm_image_find_holes(struct udfvm_image *image, struct udfvm_error *error)
{
    const uint64_t memory = image->header->config.memory - SYSTEM_SIZE;
    const uint64_t start = image->offset + image->header->pages_offset, end = start + memory;
    image->holes = calloc(memory / PAGE / 64, sizeof *image->holes);
    if (!image->holes)
        return udfvm_fail_errno(error, "allocating the map of an image's holes");
    for (uint64_t offset = start; offset < end;) {
        const off_t data = lseek(image->fd, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return UDFVM_OK; /* a file system that tells nothing of holes: none are known */
        const uint64_t hole_end = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
        mark(image, offset, hole_end);
        const off_t hole = hole_end < end ? lseek(image->fd, data, SEEK_HOLE) : (off_t)end;
        if (hole < 0)
            return UDFVM_OK;
        offset = (uint64_t)hole;
    }
    return UDFVM_OK;
}

bool udfvm_image_is_hole(const struct udfvm_image *image, uint64_t number)
{
    return image->holes && image->holes[number / 64] >> number % 64 & 1;
}

int udfvm_image_map_holes(const struct udfvm_image *image, const struct machine *machine,
                          struct udfvm_error *error)
{
    const uint64_t pages = machine->memory_bytes / PAGE;
    for (uint64_t first = 0, last = 0; first < pages; first = last) {
        first = find(image, true, last, pages);
        last = find(image, false, first, pages);
        const uint64_t bytes = (last - first) * PAGE;
        if (bytes < LARGE_HOLE)
            continue;
        void *hole = (void *)(uintptr_t)(machine->memory + first * PAGE);
        if (mmap(hole, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            return udfvm_fail_errno(error, "mapping memory that an image has nothing of");
        madvise(hole, bytes, MADV_DONTFORK);
        /* A page that is written costs a page, as elsewhere in the slot. */
        madvise(hole, bytes, MADV_NOHUGEPAGE);
    }
    return UDFVM_OK;
}
