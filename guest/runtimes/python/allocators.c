/* See allocators.h.
 *
 * glibc: fast bins of malloc are merged in bulk, which scatters writes over the heap. Giving memory
 * back costs system calls. Both are switched off. Free chunks lie all over the heap, too, and are
 * taken for good, so that a call's come from the top of the heap.
 *
 * CPython, Objects/obmalloc.c: blocks come from the pool that something was freed in last, and
 * after the imports of a program those are single blocks all over the memory. They are taken, for
 * good, until a run of neighbours comes, which is given back. An allocation also writes the header
 * that the block's pool of 16 KiB begins with, so the run lies on the same page as that.
 */
#define PY_SSIZE_T_CLEAN
#include "python/allocators.h"

#include <Python.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "udfvm_abi.h"

#define TOP            ((size_t)4 << 20)
#define LARGEST_CHUNK  ((size_t)1 << 20)
#define SMALLEST_CHUNK 2048u /* that goes back to the top when it is freed */
#define POOL           16384u
#define ALIGNMENT      16u
#define LARGEST_SIZE   256u
#define MAX_RUN        32u
#define MAX_TAKEN      ((size_t)1 << 20) /* bytes of blocks of one size */

void allocators_tune(void)
{
#ifdef __GLIBC__
    mallopt(M_MXFAST, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

/* Where the top of the heap begins: there is room. */
static uintptr_t top_of_heap(void)
{
    void *volatile block = malloc(TOP);
    const uintptr_t top = (uintptr_t)block;
    free(block);
    return top;
}

/* Takes the free chunks of a size below the top, for good. */
static void take_chunks(size_t size, uintptr_t top)
{
    for (;;) {
        void *volatile block = malloc(size);
        if (block && (uintptr_t)block < top)
            continue;
        if (size >= SMALLEST_CHUNK) /* a smaller one would be the next that is given out */
            free(block);
        return;
    }
}

/* A large request makes malloc sort all freed chunks and write to each. It is better done before
 * the seal than in each call. The memory that it gets stays at the top of the heap, so that calls
 * need not ask for more: what they allocate lies there, from the beginning of a page on. */
static void settle_heap(void)
{
    const uintptr_t top = top_of_heap();
    for (size_t size = LARGEST_CHUNK; size > SMALLEST_CHUNK; size /= 2)
        take_chunks(size, top);
    for (size_t size = SMALLEST_CHUNK; size >= ALIGNMENT; size -= ALIGNMENT)
        take_chunks(size, top);
    const size_t header = 2 * sizeof(size_t),
                 into_page = (top_of_heap() - header) % UDFVM_PAGE_SIZE;
    void *volatile rest = malloc(2 * UDFVM_PAGE_SIZE - into_page - header);
    (void)rest;
}

static bool is_beside_header(uintptr_t page)
{
    return page % (POOL / UDFVM_PAGE_SIZE) == 0;
}

/* Keeps the first block of the run, too: the allocator would take an empty pool apart. */
static void gather_blocks(size_t size)
{
    void *run[MAX_RUN];
    uintptr_t page = 0;
    size_t length = 0;
    const size_t half = UDFVM_PAGE_SIZE / 2 / size, wanted = half < MAX_RUN ? half : MAX_RUN;
    for (size_t taken = 0; taken < MAX_TAKEN && length < wanted; taken += size) {
        void *block = PyObject_Malloc(size);
        if (!block)
            break;
        if ((uintptr_t)block / UDFVM_PAGE_SIZE != page)
            length = 0;
        page = (uintptr_t)block / UDFVM_PAGE_SIZE;
        if (is_beside_header(page))
            run[length++] = block;
    }
    while (length > 1)
        PyObject_Free(run[--length]);
}

void allocators_settle(void)
{
    settle_heap();
    for (size_t size = ALIGNMENT; size <= LARGEST_SIZE; size += ALIGNMENT)
        gather_blocks(size);
}
