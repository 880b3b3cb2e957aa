/* See garbage.h.
 *
 * The allocators say when so much memory was taken: the C library's for its blocks that are not
 * small, and Python's own for each arena. If more is in use than the mark, a collection is due. It
 * runs where the interpreter next looks for pending calls, between two instructions of Python code:
 * within an allocation, a finaliser could change the very object that is growing.
 *
 * The mark lies above what was in use after the last collection, by as much as the call has taken,
 * so that a call which needs its memory collects few times; and at most by half of what was left,
 * so that garbage never takes more than that. What is free in the C library's heap, which never
 * shrinks, is not in use. To count it takes time, and is needed only when enough was taken that the
 * mark may be reached.
 */
#define PY_SSIZE_T_CLEAN
#include "python/garbage.h"

#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/sysinfo.h>

#define LEAST_STEP  ((uint64_t)32 << 20)
#define LEAST_SLACK ((uint64_t)1 << 20)

/* scratch_malloc.c; absent where that library is not preloaded. */
extern void (*udfvm_memory_taken)(size_t size) __attribute__((weak));

/* Of <malloc.h> since glibc 2.33. What was built with an older one finds it where it is there. */
struct heap {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
extern struct heap heap_now(void) __asm__("mallinfo2") __attribute__((weak));

static PyObjectArenaAllocator arenas;
static uint64_t sealed, mark;
static _Atomic uint64_t slack; /* bytes that may be taken until the mark may be reached */
static atomic_bool due;

struct memory {
    uint64_t used, left;
};

static uint64_t free_in_heap(void)
{
    return heap_now != NULL ? heap_now().fordblks : 0;
}

static struct memory memory_now(void)
{
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        return (struct memory){ 0, 0 };
    const uint64_t total = info.totalram * info.mem_unit,
                   left = info.freeram * info.mem_unit + free_in_heap();
    return (struct memory){ total > left ? total - left : 0, left };
}

static void set_slack(uint64_t used)
{
    atomic_store(&slack, used + LEAST_SLACK < mark ? mark - used : LEAST_SLACK);
}

static void set_mark(void)
{
    const struct memory now = memory_now();
    uint64_t step = now.used > sealed + LEAST_STEP ? now.used - sealed : LEAST_STEP;
    if (step > now.left / 2)
        step = now.left / 2;
    mark = now.used + step;
    set_slack(now.used);
}

static int collect(void *Py_UNUSED(nothing))
{
    if (memory_now().used > mark && PyGC_IsEnabled()) /* what was taken may be free again */
        PyGC_Collect();
    set_mark();
    atomic_store(&due, false);
    return 0;
}

/* Whoever took memory calls this, with or without the interpreter's lock. */
static void look(size_t size)
{
    const uint64_t before = atomic_load(&slack);
    if (size < before) {
        atomic_store(&slack, before - size); /* an estimate: two threads may lose a step */
        return;
    }
    const uint64_t used = memory_now().used;
    set_slack(used);
    if (used > mark && !atomic_exchange(&due, true) && Py_AddPendingCall(collect, NULL) < 0)
        atomic_store(&due, false); /* too many are pending: the next look tries again */
}

static void *take_arena(void *context, size_t size)
{
    look(size);
    return arenas.alloc(context, size);
}

void garbage_watch(void)
{
    mark = UINT64_MAX;
    slack = UINT64_MAX;
    PyObject_GetArenaAllocator(&arenas);
    PyObjectArenaAllocator watched = arenas;
    watched.alloc = take_arena;
    PyObject_SetArenaAllocator(&watched);
    if (&udfvm_memory_taken)
        udfvm_memory_taken = look;
}

void garbage_settle(void)
{
    sealed = memory_now().used;
    set_mark();
}
