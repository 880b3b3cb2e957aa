"""Functions in C and in WebAssembly that mark what they can write, or search for the mark.

``act(what, mark, seed)``: 0 searches for the complement of ``mark`` and returns what it found; any
other number marks, then ends the call in that way.
"""

from __future__ import annotations

from guest_addresses import GUEST_ADDRESSES

from udfvm import protocol

SEARCH = 0
NATIVE_ENDS = {
    "result": 1,
    "failure": 2,
    "timeout": 3,
    "crash": 4,
    "abort": 5,
    "exit": 6,
    "division": 7,
    "recursion": 8,
    "interrupt": 3,
}
WASM_ENDS = {
    "result": 1,
    "failure": 2,
    "timeout": 3,
    "crash": 4,
    "recursion": 5,
    "division": 6,
    "interrupt": 3,
}

NATIVE = (
    GUEST_ADDRESSES
    + f"""\
#define KERNEL_BASE {protocol.KERNEL_BASE:#x}ul
#define PROGRAM_BASE {protocol.PROGRAM_BASE:#x}ul
#define LOGGED_OUTPUT {protocol.LOGGED_OUTPUT:#x}ul
"""
    + r"""
#include <udfvm.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS(bytes) ((bytes) / 8)
#define DEPTH 2000

static uint64_t in_data[64] = { 1 };
static __thread uint64_t in_thread = TENANT;
static uint8_t area[12288] __attribute__((aligned(64)));

static uint64_t any(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void fill(void *to, uint64_t words, uint64_t mark)
{
    for (uint64_t i = 0; i < words; i++)
        ((volatile uint64_t *)to)[i] = mark;
}

static void handle(int number)
{
    in_thread += (uint64_t)number;
}

static void mark_memory(uint64_t mark, uint64_t *state)
{
    in_data[any(state) % 64] = in_thread = mark;
    const uint64_t bytes = 8ul << any(state) % 22;
    void *heap = malloc(bytes), *mapped = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (heap)
        fill(heap, WORDS(bytes), mark);
    if (mapped != MAP_FAILED)
        fill(mapped, 1 + any(state) % WORDS(65536), mark);
    fill((void *)(UDFVM_OUTPUT_BASE + 8192 + any(state) % 400 * 4096), 1 + any(state) % 512, mark);
    volatile uint64_t deep[DEPTH];
    fill((void *)deep, DEPTH, mark);
}

static void mark_process(uint64_t mark)
{
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)mark);
    setenv("MARK", text, 1);
    const int file = open("/tmp/mark", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 100; i++)
        if (write(file, &mark, sizeof mark) < 0)
            break;
    int ends[2];
    if (pipe(ends) == 0 && write(ends[1], &mark, sizeof mark) < 0)
        close(ends[1]);
    signal(SIGUSR1, handle);
    sigset_t blocked;
    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGUSR1);
    umask(0);
    if (chdir("/tmp") < 0)
        umask(7);
    printf("%s\n", text);
}

static void mark_registers(uint64_t mark)
{
    uint32_t low, high;
    uint64_t *words = (uint64_t *)area;
    fill(area, WORDS(sizeof area), mark);
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    words[0] = 0x037f;
    words[1] = words[2] = 0;
    words[3] = 0x9fc0;
    words[64] = low & 0xe7;
    fill(words + 65, 7, 0);
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(0xe7), "d"(0) : "memory");
}

static uint64_t hits(uint64_t from, uint64_t to, uint64_t hidden)
{
    uint64_t found = 0;
    for (const volatile uint64_t *word = (const volatile uint64_t *)from;
         word < (const volatile uint64_t *)to; word++)
        found += (*word ^ hidden) + 1 == 0;
    return found;
}

static uint64_t hits_in_maps(uint64_t hidden)
{
    uint64_t found = 0, from, to, areas[256][2];
    size_t count = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && count < 256 && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && to < UDFVM_INPUT_BASE)
            areas[count][0] = from, areas[count++][1] = to;
    if (maps)
        fclose(maps);
    for (size_t i = 0; i < count; i++)
        found += hits(areas[i][0], areas[i][1], hidden);
    return found;
}

static int64_t search(uint64_t hidden)
{
    struct sigaction action;
    sigset_t blocked;
    uint32_t mxcsr;
    const mode_t mask = umask(022);
    char folder[64];
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    sigaction(SIGUSR1, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    const int left = (in_thread != TENANT) + 2 * (getenv("MARK") != NULL) +
                     4 * (access("/tmp/mark", F_OK) == 0) + 8 * (action.sa_handler != SIG_DFL) +
                     16 * sigismember(&blocked, SIGUSR1) + 32 * ((mxcsr & 0xffc0) != 0x1f80) +
                     64 * (mask != 022) + 128 * (getcwd(folder, 64) && folder[1] == 't');
    return left + 1000 * (int64_t)(hits_in_maps(hidden) +
                                   hits(KERNEL_BASE, PROGRAM_BASE, hidden) +
                                   hits(UDFVM_INPUT_BASE + 4096, UDFVM_INPUT_BASE + 65536, hidden) +
                                   hits(UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + LOGGED_OUTPUT,
                                        hidden));
}

static int64_t recurse(volatile int64_t *depth)
{
    volatile int64_t here[512] = { *depth + 1 };
    return recurse(here) + here[0];
}

UDFVM_SCALAR(act, i64, (i64, what), (i64, mark), (i64, seed))
{
    uint64_t state = (uint64_t)seed | 1;
    volatile int64_t zero = 0;
    if (what == 0)
        return search((uint64_t)mark);
    mark_memory((uint64_t)mark, &state);
    if (seed & 1)
        mark_process((uint64_t)mark);
    if (seed & 2)
        mark_registers((uint64_t)mark);
    switch (what) {
    case 2:
        udfvm_fail("%lx", (unsigned long)mark);
        return 0;
    case 3:
        for (;;)
            state++;
    case 4:
        return *(volatile int *)8;
    case 5:
        abort();
    case 6:
        _exit(3);
    case 7:
        return what / zero;
    case 8:
        return recurse(&zero);
    default:
        return mark;
    }
}
"""
)

WASM = """(module
    (memory 2 100)
    (table $table 4 40 funcref)
    (global $left (mut i64) (i64.const TENANT))
    (global $number (mut f64) (f64.const 0))
    (func $zero (export "zero") (result i64) i64.const 0)
    (func $recurse (param i64) (result i64)
        local.get 0 i64.const 1 i64.add call $recurse i64.const 1 i64.add)
    (func $search (param $hidden i64) (result i64) (local $at i32) (local $found i64)
        (loop $next
            (if (i64.eq (i64.load (local.get $at)) (i64.xor (local.get $hidden) (i64.const -1)))
                (then (local.set $found (i64.add (local.get $found) (i64.const 1000)))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (local.get $found)
        (i64.extend_i32_u (i64.ne (global.get $left) (i64.const TENANT))) i64.add
        (i64.extend_i32_u (f64.ne (global.get $number) (f64.const 0))) i64.add
        (i64.extend_i32_u (i32.ne (memory.size) (i32.const 2))) i64.add
        (i64.extend_i32_u (i32.ne (table.size $table) (i32.const 4))) i64.add
        (i64.extend_i32_u (i32.eqz (ref.is_null (table.get $table (i32.const 1))))) i64.add)
    (func $mark (param $mark i64) (param $seed i64) (local $at i32)
        (global.set $left (local.get $mark))
        (global.set $number (f64.reinterpret_i64 (local.get $mark)))
        (table.set $table (i32.const 1) (ref.func $zero))
        (drop (table.grow $table (ref.func $zero) (i32.const 3)))
        (drop (memory.grow (i32.and (i32.wrap_i64 (local.get $seed)) (i32.const 63))))
        (loop $next
            (i64.store (local.get $at) (local.get $mark))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))))
    (func (export "act") (param $what i64) (param $mark i64) (param $seed i64) (result i64)
        (if (i64.eqz (local.get $what)) (then (return (call $search (local.get $mark)))))
        (call $mark (local.get $mark) (local.get $seed))
        (if (i64.eq (local.get $what) (i64.const 2)) (then unreachable))
        (if (i64.eq (local.get $what) (i64.const 3)) (then (loop $for_ever (br $for_ever))))
        (if (i64.eq (local.get $what) (i64.const 4)) (then (return (i64.load (i32.const -8)))))
        (if (i64.eq (local.get $what) (i64.const 5)) (then (return (call $recurse (local.get 0)))))
        (if (i64.eq (local.get $what) (i64.const 6))
            (then (return (i64.div_s (local.get $mark) (i64.const 0)))))
        (local.get $mark)))
"""
