/* Address space that is larger than memory: it takes memory where it is accessible, and faults
 * where it is not. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096ul
#define KIB  (1ul << 10)
#define MIB  (1ul << 20)
#define GIB  (1ul << 30)

static sigjmp_buf again;
static volatile uintptr_t fault_address;
static volatile int fault_code;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    fault_address = (uintptr_t)info->si_addr;
    fault_code = info->si_code;
    siglongjmp(again, 1);
}

static int faults(volatile uint8_t *at, int writing, int code)
{
    fault_address = 0;
    if (sigsetjmp(again, 1) == 0) {
        if (writing)
            *at = 1;
        else
            (void)*at;
        return 0;
    }
    return fault_address == (uintptr_t)at && fault_code == code;
}

static uint8_t *reserve(size_t length)
{
    uint8_t *at = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int commit(uint8_t *at, size_t length)
{
    return mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == at;
}

static int is_filled(const uint8_t *at, size_t length, uint8_t byte)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != byte)
            return 0;
    return 1;
}

static void commit_pieces(uint8_t *arena, uint8_t *notes)
{
    for (size_t piece = 0; piece < 4; piece++) {
        uint8_t *at = arena + piece * 4 * MIB, *note = notes + piece * 256 * KIB;
        CHECK(commit(at, 4 * MIB) && commit(note, 64 * KIB));
        CHECK(is_filled(at, 4 * MIB, 0) && is_filled(note, 64 * KIB, 0));
        memset(at, (int)piece + 1, 4 * MIB);
        note[5] = (uint8_t)(piece + 1);
    }
    for (size_t piece = 0; piece < 4; piece++)
        CHECK(is_filled(arena + piece * 4 * MIB, 4 * MIB, (uint8_t)(piece + 1)) &&
              notes[piece * 256 * KIB + 5] == piece + 1);
}

/* As Go's runtime reserves its heap, and what it notes of that. */
static void like_go(void)
{
    uint8_t *notes = reserve(600 * MIB), *arena = reserve(64 * MIB), *later = reserve(64 * MIB);
    CHECK(madvise(notes, 600 * MIB, MADV_NOHUGEPAGE) == 0);
    commit_pieces(arena, notes + 512 * MIB);
    CHECK(faults(arena + 16 * MIB, 1, SEGV_ACCERR));
    CHECK(faults(notes, 0, SEGV_ACCERR));
    CHECK(faults(notes + 512 * MIB + 64 * KIB, 0, SEGV_ACCERR));
    CHECK(madvise(arena, MIB, MADV_DONTNEED) == 0);
    CHECK(is_filled(arena, MIB, 0) && is_filled(arena + MIB, MIB, 1));
    CHECK(munmap(later, 64 * MIB) == 0);
    CHECK(munmap(arena, 64 * MIB) == 0 && munmap(notes, 600 * MIB) == 0);
    CHECK(faults(arena, 0, SEGV_MAPERR) && faults(later, 1, SEGV_MAPERR));
}

/* In all it is far more than the memory that there is: what is given back is used again. */
static void use_again(void)
{
    uint8_t *at = reserve(8 * GIB);
    for (size_t i = 0; i < 60; i++) {
        uint8_t *piece = at + i * 128 * MIB;
        CHECK(mprotect(piece, 8 * MIB, PROT_READ | PROT_WRITE) == 0);
        CHECK(is_filled(piece, 8 * MIB, 0));
        memset(piece, 0xa5, 8 * MIB);
        if (i % 2)
            CHECK(mmap(piece, 8 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                  piece);
        else
            CHECK(munmap(piece, 8 * MIB) == 0);
        CHECK(faults(piece + PAGE, i % 3 == 0, i % 2 ? SEGV_ACCERR : SEGV_MAPERR));
    }
    CHECK(munmap(at, 8 * GIB) == 0);
}

static void protections(void)
{
    uint8_t *at = reserve(GIB);
    CHECK(mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    memset(at, 7, 4 * PAGE);
    CHECK(mprotect(at + PAGE, PAGE, PROT_READ) == 0 && at[PAGE] == 7 &&
          faults(at + PAGE, 1, SEGV_ACCERR));
    CHECK(mprotect(at + 2 * PAGE, PAGE, PROT_NONE) == 0 && faults(at + 2 * PAGE, 0, SEGV_ACCERR));
    at[2 * PAGE - 1 - PAGE] = at[3 * PAGE] = 8;
    CHECK(mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    at[PAGE] = 9;
    CHECK(at[2 * PAGE] == 7 && at[PAGE + 1] == 7 && is_filled(at + 2 * PAGE, PAGE, 7));
    static const uint8_t code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
    memcpy(at, code, sizeof code);
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_EXEC) == 0 && ((int (*)(void))at)() == 42 &&
          faults(at, 1, SEGV_ACCERR));
    CHECK(munmap(at, GIB) == 0);
}

/* As the heap of a thread grows in the C library, whose steps are of a page or more. */
static void small_steps(void)
{
    uint8_t *at = reserve(128 * MIB), *end = at + 132 * KIB;
    CHECK(mprotect(at, 132 * KIB, PROT_READ | PROT_WRITE) == 0);
    for (; end < at + 5 * MIB; end += PAGE) {
        CHECK(mprotect(end, PAGE, PROT_READ | PROT_WRITE) == 0 && is_filled(end, PAGE, 0));
        memset(end, 3, PAGE);
    }
    CHECK(is_filled(at + 132 * KIB, 5 * MIB - 132 * KIB, 3));
    CHECK(munmap(at, 128 * MIB) == 0);
}

static void *allocate(void *argument)
{
    enum { BLOCKS = 1000 };
    static _Thread_local uint8_t *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = malloc(1000), i, 1000);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(blocks[i], 1000, (uint8_t)i));
        free(blocks[i]);
    }
    return argument;
}

static void heaps_of_threads(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate, NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void grow_in_place(uint8_t *at)
{
    for (size_t size = 0; size < 4 * MIB; size += 64 * KIB) {
        CHECK(faults(at + size, 1, SEGV_ACCERR));
        CHECK(mprotect(at + size, 64 * KIB, PROT_READ | PROT_WRITE) == 0);
        at[size] = at[size + 64 * KIB - 1] = (uint8_t)(size >> 16);
    }
    CHECK(faults(at + 4 * GIB, 0, SEGV_ACCERR) && faults(at + 4 * MIB, 0, SEGV_ACCERR));
}

/* ---- Stacks of threads: their guards fault, and they take as much memory as they use ---- */

static void *overflow(void *argument)
{
    stack_t other = { .ss_sp = malloc(64 * KIB), .ss_size = 64 * KIB };
    pthread_attr_t attributes;
    void *start;
    size_t size;
    CHECK(sigaltstack(&other, NULL) == 0);
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0 &&
          pthread_attr_getstack(&attributes, &start, &size) == 0);
    volatile uint8_t *at = (volatile uint8_t *)__builtin_frame_address(0) - PAGE;
    if (sigsetjmp(again, 1) == 0)
        for (;; at -= 64)
            *at = 1;
    const uintptr_t guard = (uintptr_t)start;
    CHECK(fault_code == SEGV_ACCERR && fault_address < guard && fault_address >= guard - PAGE);
    other.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&other, NULL) == 0 && pthread_attr_destroy(&attributes) == 0);
    free(other.ss_sp);
    return argument;
}

static pthread_barrier_t all;

/* The kernel writes to a part of the stack that was not used before. */
static void *read_deep(void *argument)
{
    uint8_t deep[512 * KIB];
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "deep", 4) == 4);
    CHECK(read(ends[0], deep, 4) == 4 && memcmp(deep, "deep", 4) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    pthread_barrier_wait(&all);
    return argument;
}

static void stacks_of_threads(void)
{
    enum { THREADS = 40 };
    pthread_t threads[THREADS];
    const struct sigaction usual = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO },
                           aside = { .sa_sigaction = on_fault,
                                     .sa_flags = SA_SIGINFO | SA_ONSTACK };
    CHECK(sigaction(SIGSEGV, &aside, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[0], NULL, overflow, NULL) == 0);
        CHECK(pthread_join(threads[0], NULL) == 0);
    }
    CHECK(sigaction(SIGSEGV, &usual, NULL) == 0);
    CHECK(pthread_barrier_init(&all, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_deep, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* As a memory of WebAssembly grows: where it lies, or to where there is space. */
static void growth(void)
{
    uint8_t *at = reserve(4 * GIB + 32 * MIB);
    grow_in_place(at);
    uint8_t *moved = mremap(at, 4 * MIB, 6 * MIB, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != at);
    CHECK(moved[63 * 64 * KIB] == 63 && is_filled(moved + 4 * MIB, 2 * MIB, 0));
    CHECK(faults(at, 0, SEGV_MAPERR));
    CHECK(mremap(moved, 6 * MIB, MIB, 0) == moved && moved[64 * KIB] == 1);
    CHECK(faults(moved + MIB, 0, SEGV_MAPERR));
    CHECK(mremap(moved, MIB, 2 * MIB, MREMAP_MAYMOVE) == moved);
    CHECK(is_filled(moved + MIB, MIB, 0) && moved[15 * 64 * KIB] == 15);
    uint8_t *target = reserve(GIB) + 64 * MIB;
    CHECK(mremap(moved, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(target[15 * 64 * KIB] == 15 && faults(moved, 1, SEGV_MAPERR));
    CHECK(faults(target + 2 * MIB, 1, SEGV_ACCERR));
    CHECK(munmap(at, 4 * GIB + 32 * MIB) == 0 && munmap(target - 64 * MIB, GIB) == 0);
}

/* The kernel itself uses such memory, of which not all can be used. */
static void system_calls(void)
{
    uint8_t *at = reserve(GIB);
    int ends[2];
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0 &&
          mprotect(at + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0 &&
          mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(pipe(ends) == 0 && write(ends[1], "0123456789", 10) == 10);
    CHECK(read(ends[0], at + PAGE - 5, 10) == 10 && memcmp(at + PAGE - 5, "0123456789", 10) == 0);
    CHECK(fails_with(write(ends[1], at + 8 * PAGE, 4), EFAULT));
    CHECK(readlink("/proc/self/exe", (char *)at + PAGE - 3, 100) > 3 && at[PAGE - 3] == '/');
    FILE *self = fopen("/proc/self/exe", "rb");
    static uint8_t first[2 * PAGE];
    CHECK(self && fread(first, 1, 2 * PAGE, self) == 2 * PAGE);
    CHECK(self && pread(fileno(self), at, 2 * PAGE, 0) == 2 * (long)PAGE &&
          memcmp(at, first, 2 * PAGE) == 0);
    CHECK(self && mmap(at + 4 * PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fileno(self),
                       0) == at + 4 * PAGE);
    CHECK(memcmp(at + 4 * PAGE, first, 2 * PAGE) == 0 && faults(at + 5 * PAGE, 1, SEGV_ACCERR));
    uint8_t resident[8] = "";
    CHECK(mincore(at, 2 * PAGE, resident) == 0 && resident[0] == 1);
    CHECK(munmap(at, GIB) == 0);
    fclose(self);
}

/* What does not fit into any gap is put together from free pages. */
static void scattered(void)
{
    enum { MOST = 60 };
    uint8_t *at[MOST];
    size_t count = 0;
    while (count < MOST && (at[count] = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
        memset(at[count++], 4, MIB);
    for (size_t i = 0; i < count; i += 2)
        CHECK(munmap(at[i], MIB) == 0);
    const size_t length = count / 4 * MIB;
    uint8_t *large = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(large != MAP_FAILED && is_filled(large, length, 0));
    memset(large, 5, length);
    for (size_t i = 1; i < count; i += 2)
        CHECK(is_filled(at[i], MIB, 4) && munmap(at[i], MIB) == 0);
    CHECK(is_filled(large, length, 5) && munmap(large, length) == 0);
}

static void limits(void)
{
    CHECK(mmap(NULL, 1ul << 48, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
          MAP_FAILED);
    uint8_t *at = reserve(16 * GIB);
    if (!getenv("ON_LINUX")) {
        CHECK(fails_with(mprotect(at, 4 * GIB, PROT_READ | PROT_WRITE), ENOMEM));
        CHECK(!commit(at, 4 * GIB) && errno == ENOMEM);
    }
    CHECK(commit(at, MIB) && is_filled(at, MIB, 0));
    CHECK(munmap(at, 16 * GIB) == 0);
    CHECK(fails_with(mprotect(at, PAGE, PROT_READ), ENOMEM));
}

static void *crash(void *argument)
{
    volatile uint8_t *at = (volatile uint8_t *)__builtin_frame_address(0) - PAGE;
    for (;; at -= 64)
        *at = 1;
    return argument;
}

int main(void)
{
    pthread_t thread;
    if (getenv("CRASH") && pthread_create(&thread, NULL, crash, NULL) == 0)
        return pthread_join(thread, NULL);
    const struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    like_go();
    use_again();
    protections();
    small_steps();
    heaps_of_threads();
    stacks_of_threads();
    growth();
    system_calls();
    scattered();
    limits();
    like_go();
    return DONE();
}
