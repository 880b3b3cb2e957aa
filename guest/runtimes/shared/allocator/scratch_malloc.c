/* Large blocks from the guest kernel's scratch area, by a preloaded library that precedes the C
 * library's allocator.
 *
 * The C library serves large requests from free memory of its heap if it can. Those pages are in
 * the image, so each one that a call writes is logged, kept and copied back. A block in scratch
 * costs none of that. The library calls the guest kernel's entry instead of making a system call,
 * which would trap. The address of a block tells whether it lies in scratch. Replacing malloc:
 * glibc manual, 3.2.5.
 *
 * A runtime that collects garbage sets udfvm_memory_taken. It is called with the bytes that a
 * thread has taken in mappings and in blocks that are not small, whenever these are STEP or more.
 * It also sets udfvm_memory_refused, which is called with the bytes that were refused and the
 * number of the attempt, from 0 on, until there is memory or it returns false. `mapper` is code
 * that wants a mapping; NULL: a block is wanted.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "udfvm_abi.h"

#define LARGE      (512ul << 10)
#define COUNTED    512ul
#define STEP       (2ul << 20) /* bytes between calls of udfvm_memory_taken */
#define ALIGNMENT  64ul
#define LAST_ERROR 4095 /* of a system call */
#define EXPORT     __attribute__((visibility("default")))

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

struct header {
    uint64_t start, length;
}; /* describes the mapping; precedes the block */

EXPORT void *malloc(size_t size);
EXPORT void *calloc(size_t number, size_t size);
EXPORT void *realloc(void *block, size_t size);
EXPORT void *memalign(size_t alignment, size_t size);
EXPORT void *aligned_alloc(size_t alignment, size_t size);
EXPORT int posix_memalign(void **block, size_t alignment, size_t size);
EXPORT void *valloc(size_t size);
EXPORT void *pvalloc(size_t size);
EXPORT size_t malloc_usable_size(void *block);
EXPORT void free(void *block);
EXPORT void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
/* With offsets of 64 bits <sys/mman.h> gives it the other one of its two names, mmap64. */
EXPORT void *mmap_of_any(void *address, size_t length, int protection, int flags, int file,
                         off_t offset) __asm__("mmap");
EXPORT void (*udfvm_memory_taken)(size_t size);
EXPORT bool (*udfvm_memory_refused)(size_t size, unsigned attempt, const void *mapper);

/* It lies beside errno, on a page that most calls write to anyway. */
static __thread size_t taken __attribute__((tls_model("initial-exec")));

static void count(size_t size)
{
    taken += size;
    if (taken < STEP || !udfvm_memory_taken)
        return;
    const size_t size_taken = taken;
    taken = 0;
    udfvm_memory_taken(size_taken);
}

static void count_if_not_small(size_t size)
{
    if (__builtin_expect(size >= COUNTED, 0))
        count(size);
}

static long kernel(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f)
{
    typedef long entry(long, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    return ((entry *)UDFVM_VECTOR_SYSCALL_FUNCTION)(number, a, b, c, d, e, f);
}

static bool in_scratch(uint64_t address)
{
    return address - UDFVM_OUTPUT_BASE < UDFVM_MAX_WINDOW;
}

static bool is_large(size_t size)
{
    const struct udfvm_call *call = (const struct udfvm_call *)UDFVM_INPUT_BASE;
    return __builtin_expect(size >= LARGE, 0) && call->scratch_end > call->scratch_start &&
           size <= call->scratch_end - call->scratch_start;
}

static struct header *header_of(void *block)
{
    return (struct header *)block - 1;
}

/* Takes a zeroed block; NULL if it does not fit into scratch. */
static void *take(size_t alignment, size_t size)
{
    if (alignment < ALIGNMENT)
        alignment = ALIGNMENT;
    if (alignment > UDFVM_MAX_WINDOW)
        return NULL;
    const uint64_t length = (size + alignment + sizeof(struct header) + 4095) & ~4095ul;
    const uint64_t start = (uint64_t)kernel(SYS_mmap, 0, length, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
    if (!in_scratch(start)) {
        if ((int64_t)start > 0)
            kernel(SYS_munmap, start, length, 0, 0, 0, 0);
        return NULL;
    }
    const uint64_t block = (start + sizeof(struct header) + alignment - 1) & -alignment;
    *header_of((void *)block) = (struct header){ start, length };
    return (void *)block;
}

static size_t capacity_of(void *block)
{
    const struct header *header = header_of(block);
    return header->start + header->length - (uint64_t)block;
}

/* ---- What was refused is tried again after room was made ---- */

struct request {
    void *(*take)(const struct request *request); /* NULL: there is no memory */
    size_t size;
    size_t alignment; /* where it matters */
    void *block;      /* to be resized */
};

/* Small blocks come from the C library right away, until something was refused: then its answer is
 * looked at, which costs a nanosecond. */
static void *block_or_again(size_t size);
static void *zeroed_or_again(size_t number, size_t size);
static void *resized_or_again(void *block, size_t size);

static void *(*small_block)(size_t) = __libc_malloc;
static void *(*small_zeroed)(size_t, size_t) = __libc_calloc;
static void *(*resized)(void *, size_t) = __libc_realloc;

static void note_refusal(void)
{
    small_block = block_or_again;
    small_zeroed = zeroed_or_again;
    resized = resized_or_again;
}

/* What a program is told to have been refused is forgotten when it got it after all. */
static __attribute__((noinline)) void *take_again(struct request request)
{
    struct udfvm_refused_memory *told = (struct udfvm_refused_memory *)UDFVM_REFUSED_MEMORY;
    void *block = NULL;
    note_refusal();
    for (unsigned attempt = 0; !block && udfvm_memory_refused; attempt++) {
        if (!udfvm_memory_refused(request.size, attempt, NULL))
            return NULL;
        block = request.take(&request);
    }
    if (block)
        told->length = 0;
    return block;
}

static void *take_block(size_t size)
{
    void *block = is_large(size) ? take(0, size) : NULL;
    return block ? block : __libc_malloc(size);
}

static void *take_block_again(const struct request *request)
{
    return take_block(request->size);
}

static void *take_zeroed(const struct request *request)
{
    void *block = is_large(request->size) ? take(0, request->size) : NULL;
    return block ? block : __libc_calloc(1, request->size);
}

static void *block_or_again(size_t size)
{
    void *block = take_block(size);
    return block ? block : take_again((struct request){ take_block_again, .size = size });
}

static void *zeroed_or_again(size_t number, size_t size)
{
    const struct request request = { take_zeroed, .size = number * size }; /* the caller looked */
    void *block = take_zeroed(&request);
    return block ? block : take_again(request);
}

void *malloc(size_t size)
{
    if (__builtin_expect(size < COUNTED, 1))
        return small_block(size);
    count(size);
    return block_or_again(size);
}

void *calloc(size_t number, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes))
        return __libc_calloc(number, size);
    if (__builtin_expect(bytes < COUNTED, 1))
        return small_zeroed(number, size);
    count(bytes);
    return zeroed_or_again(number, size);
}

static void *move(void *block, size_t have, size_t size)
{
    void *moved = malloc(size);
    if (moved) {
        memcpy(moved, block, have < size ? have : size);
        free(block);
    }
    return moved;
}

static bool resize_in_place(void *block, size_t size)
{
    struct header *header = header_of(block);
    const uint64_t length = ((uint64_t)block - header->start + size + 4095) & ~4095ul;
    if (size < LARGE || size > UDFVM_MAX_WINDOW ||
        kernel(SYS_mremap, header->start, header->length, length, 0, 0, 0) < 0)
        return false;
    header->length = length;
    return true;
}

static void *resize_again(const struct request *request)
{
    return __libc_realloc(request->block, request->size);
}

static void *resized_or_again(void *block, size_t size)
{
    void *moved = __libc_realloc(block, size);
    return moved || !size
               ? moved
               : take_again((struct request){ resize_again, .size = size, .block = block });
}

void *realloc(void *block, size_t size)
{
    if (in_scratch((uint64_t)block)) {
        if (size && resize_in_place(block, size))
            return block;
        if (size)
            return move(block, capacity_of(block), size);
        free(block);
        return NULL;
    }
    if (!block)
        return malloc(size);
    count_if_not_small(size);
    const size_t have = is_large(size) ? malloc_usable_size(block) : 0;
    return have              ? move(block, have, size)
           : size >= COUNTED ? resized_or_again(block, size)
                             : resized(block, size);
}

static void *take_aligned(const struct request *request)
{
    const size_t alignment = request->alignment, size = request->size;
    void *block = is_large(size) && (alignment & (alignment - 1)) == 0 ? take(alignment, size)
                                                                       : NULL;
    return block ? block : __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    const struct request request = { take_aligned, .size = size, .alignment = alignment };
    count_if_not_small(size);
    void *block = take_aligned(&request);
    return __builtin_expect(!block, 0) ? take_again(request) : block;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) || (alignment & (alignment - 1)) || alignment == 0)
        return EINVAL;
    const int before = errno;
    void *taken = memalign(alignment, size);
    errno = before;
    if (!taken)
        return ENOMEM;
    *block = taken;
    return 0;
}

void *valloc(size_t size)
{
    return memalign(4096, size);
}

void *pvalloc(size_t size)
{
    return memalign(4096, (size + 4095) & ~4095ul);
}

/* For the C library's own blocks: the word before a block has its size, and flags in the lowest
 * three bits. A mapped block has one more header word; the others share one with the next block.
 * glibc, malloc/malloc.c: "Chunk representation". */
size_t malloc_usable_size(void *block)
{
    if (!block)
        return 0;
    if (in_scratch((uint64_t)block))
        return capacity_of(block);
    const size_t word = ((const size_t *)block)[-1];
    return (word & ~7ul) - (word & 2 ? 2 : 1) * sizeof(size_t);
}

void free(void *block)
{
    if (!in_scratch((uint64_t)block)) {
        __libc_free(block);
        return;
    }
    const struct header header = *header_of(block);
    kernel(SYS_munmap, header.start, header.length, 0, 0, 0, 0);
}

struct mapping {
    void *address;
    size_t length;
    int protection, flags, file;
    off_t offset;
};

static uint64_t map(const struct mapping *wanted)
{
    return (uint64_t)kernel(SYS_mmap, (uint64_t)wanted->address, wanted->length,
                            (uint64_t)wanted->protection, (uint64_t)wanted->flags,
                            (uint64_t)wanted->file, (uint64_t)wanted->offset);
}

static void *map_for(const struct mapping *wanted, const void *mapper)
{
    struct udfvm_refused_memory *told = (struct udfvm_refused_memory *)UDFVM_REFUSED_MEMORY;
    uint64_t mapped = map(wanted);
    if (mapped == -(uint64_t)ENOMEM)
        note_refusal();
    for (unsigned attempt = 0;
         mapped == -(uint64_t)ENOMEM && wanted->protection != PROT_NONE && udfvm_memory_refused &&
         udfvm_memory_refused(wanted->length, attempt, mapper);
         attempt++) {
        mapped = map(wanted);
        if (mapped < -(uint64_t)LAST_ERROR)
            told->length = 0;
    }
    if (mapped >= -(uint64_t)LAST_ERROR) {
        errno = -(int)mapped;
        return MAP_FAILED;
    }
    if (wanted->protection != PROT_NONE)
        count(wanted->length);
    return (void *)mapped;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    const struct mapping wanted = { address, length, protection, flags, file, offset };
    return map_for(&wanted, __builtin_return_address(0));
}

void *mmap_of_any(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    const struct mapping wanted = { address, length, protection, flags, file, offset };
    return map_for(&wanted, __builtin_return_address(0));
}
