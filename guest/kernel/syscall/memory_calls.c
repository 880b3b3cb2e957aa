/* The memory system calls. */
#include "host/data.h"
#include "mm/heap.h"
#include "mm/pages.h"
#include "mm/regions.h"
#include "mm/report.h"
#include "mm/reserve.h"
#include "mm/user.h"
#include "rewrite/rewrite.h"
#include "vfs/vfs.h"

/* Notes a refused request. Two kinds are not noted, since programs go on without what they ask for:
 * address space only (PROT_NONE), which probes how much is available, and growing in place. */
static int64_t note(int64_t result, uint64_t length, int protection)
{
    if (result == -ENOMEM && protection != PROT_NONE)
        memory_note_refusal(length);
    return result;
}

SYSTEM_CALL(mmap)
{
    if (address_space_exceeded(d & MAP_FIXED ? a : 0, b))
        return -ENOMEM;
    if (d & MAP_ANONYMOUS)
        return note(memory_map(a, b, (int)c, (int)d, NULL, 0), b, (int)c);
    struct file *file = file_get((int)e);
    if (!file)
        return -EBADF;
    const struct backing backing = file_backing(file);
    int64_t result = b && !(f & PAGE_MASK) ? file_check_mapping(file, (int)c, (int)d) : -EINVAL;
    if (result == 0)
        result = note(memory_map(a, b, (int)c, (int)d, &backing, f), b, (int)c);
    if (result > 0 && (c & PROT_EXEC) && backing.constant)
        rewrite_syscalls((uint64_t)result, page_up(b));
    file_put(file);
    return result;
}

SYSTEM_CALL(munmap)
{
    return memory_unmap(a, b);
}

SYSTEM_CALL(mprotect)
{
    return memory_protect(a, b, (int)c);
}

SYSTEM_CALL(mremap)
{
    if (page_up(c) > page_up(b) && address_space_exceeded(0, page_up(c) - page_up(b)))
        return -ENOMEM;
    const int64_t result = memory_remap(a, b, c, (int)d, e);
    return d & MREMAP_MAYMOVE ? note(result, c, PROT_READ) : result;
}

SYSTEM_CALL(brk)
{
    return heap_break(a);
}

/* Ends of a page-aligned range of the program's, or an error. */
static int64_t mapped_range(uint64_t address, uint64_t length, uint64_t *end)
{
    if (address & PAGE_MASK)
        return -EINVAL;
    *end = address + page_up(length);
    if (in_data(address, page_up(length)))
        return 0;
    if (!user_range_exists(address, length) ||
        (length > program_end && !in_reserve(address, length)))
        return -ENOMEM;
    return range_is_mapped(address, *end) ? 0 : -ENOMEM;
}

/* A call looks like a forked child to the program: it finds the sealed state, but this memory is
 * zero. Libraries that keep random numbers detect a new process by that. */
static int64_t wipe_on_fork(uint64_t start, uint64_t end, bool wiped)
{
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->shared || region_at(index)->name ||
            region_at(index)->use == REGION_KERNEL)
            return -EINVAL;
    if (!regions_have_capacity(2))
        return -ENOMEM;
    regions_wipe(start, end, wiped);
    return 0;
}

/* Zeroes private memory, or what is shared: memory that is shared keeps its contents where pages
 * are only dropped. */
static int64_t drop_pages(uint64_t start, uint64_t end, bool shared)
{
    if (range_has_kernel(start, end))
        return -EINVAL;
    for (size_t index = region_find(start);
         shared && index < region_count() && region_at(index)->start < end; index++)
        if (!region_at(index)->shared || !(region_at(index)->protection & PROT_WRITE))
            return region_at(index)->shared ? -EACCES : -EINVAL;
    for (size_t index = region_find(start); index < region_count() && region_at(index)->start < end;
         index++)
        if (region_at(index)->shared == shared)
            pages_zero(maximum(start, region_at(index)->start),
                       minimum(end, region_at(index)->end));
    return 0;
}

/* Advice that changes nothing here. Programs try what there is, so other numbers are errors. */
static bool is_hint(int advice)
{
    static const int8_t hints[] = {
        MADV_NORMAL,        MADV_RANDOM,         MADV_SEQUENTIAL, MADV_WILLNEED,    MADV_FREE,
        MADV_DONTFORK,      MADV_DOFORK,         MADV_MERGEABLE,  MADV_UNMERGEABLE, MADV_HUGEPAGE,
        MADV_NOHUGEPAGE,    MADV_DONTDUMP,       MADV_DODUMP,     MADV_COLD,        MADV_PAGEOUT,
        MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE,
    };
    for (size_t i = 0; i < sizeof hints; i++)
        if (hints[i] == advice)
            return true;
    return false;
}

SYSTEM_CALL(madvise)
{
    uint64_t end;
    int64_t error = b ? mapped_range(a, b, &end) : 0;
    if (error || b == 0)
        return error;
    switch ((int)c) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_REMOVE:
        return drop_pages(a, end, c == MADV_REMOVE);
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
        return wipe_on_fork(a, end, c == MADV_WIPEONFORK);
    case MADV_HWPOISON:
    case MADV_SOFT_OFFLINE:
        return -EPERM;
    default:
        return is_hint((int)c) ? 0 : -EINVAL;
    }
}

SYSTEM_CALL(mincore)
{
    uint64_t end;
    int64_t error = b ? mapped_range(a, b, &end) : 0;
    if (error || b == 0)
        return error;
    const uint64_t pages = (end - a) / PAGE_SIZE;
    if (!user_range_ok(c, pages))
        return -EFAULT;
    for (uint64_t page = 0; page < pages; page++)
        ((uint8_t *)c)[page] = in_data(a, PAGE_SIZE) || page_is_used(a + page * PAGE_SIZE);
    return 0;
}

static int64_t check_range(uint64_t address, uint64_t length)
{
    uint64_t end;
    return length ? mapped_range(address, length, &end) : 0;
}

/* A shared mapping is the file's memory: there is nothing to write back. */
SYSTEM_CALL(msync)
{
    const uint64_t both = MS_ASYNC | MS_SYNC;
    if ((c & ~(both | MS_INVALIDATE)) || (c & both) == both)
        return -EINVAL;
    return check_range(a, b);
}

SYSTEM_CALL(mlock) /* and munlock, mlock2: memory never leaves */
{
    return check_range(page_down(a), b + (a & PAGE_MASK));
}
SYSTEM_CALL_ALIAS(mlock2, mlock);
SYSTEM_CALL_ALIAS(munlock, mlock);

SYSTEM_CALL(mlockall)
{
    return 0;
}
SYSTEM_CALL_ALIAS(munlockall, mlockall);
