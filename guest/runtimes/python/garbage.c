/* See garbage.h.
 *
 * The allocators say when so much memory was taken: the C library's for its blocks that are not
 * small, and Python's own for each arena. If more is in use than the mark, a collection is due. It
 * runs where the interpreter next looks for pending calls, between two instructions of Python code:
 * within an allocation, a finaliser could change the very object that is growing. The interpreter
 * looks in its first thread alone, which may wait for others: where another one took memory, a
 * thread of its own collects.
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
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/sysinfo.h>
#include <time.h>

#define LEAST_STEP  ((uint64_t)32 << 20)
#define LEAST_SLACK ((uint64_t)1 << 20)
/* A thread that waits so long for the interpreter's lock makes its holder give way
 * (sys.getswitchinterval). */
#define ASKED_FOR_LOCK_NS 6000000
#define MOST_WAITS        64 /* for one collection: code in C may take memory and not give way */

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
static atomic_bool pending, collecting;
static atomic_uint waits; /* of threads for the one that collects */
static __thread bool collects;
static pthread_t first_thread;

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

static void collect(void)
{
    if (memory_now().used > mark && PyGC_IsEnabled()) /* what was taken may be free again */
        PyGC_Collect();
    set_mark();
}

static int collect_pending(void *Py_UNUSED(nothing))
{
    collect();
    atomic_store(&pending, false);
    return 0;
}

static void *collect_in_thread(void *nothing)
{
    collects = true;
    const PyGILState_STATE state = PyGILState_Ensure();
    collect();
    PyGILState_Release(state);
    atomic_store(&collecting, false);
    return nothing;
}

static void sleep_ns(long nanoseconds)
{
    nanosleep(&(struct timespec){ .tv_nsec = nanoseconds }, NULL);
}

/* ---- Who took memory asks for a collection. If that fails, the next look tries again ---- */

static void ask_first_thread(void)
{
    if (!atomic_exchange(&pending, true) && Py_AddPendingCall(collect_pending, NULL) < 0)
        atomic_store(&pending, false); /* too many are pending */
}

static void ask_new_thread(void)
{
    pthread_t thread;
    if (PyGILState_Check() && !PyGC_IsEnabled()) /* without the lock it cannot be asked */
        return;
    if (atomic_exchange(&collecting, true))
        return;
    atomic_store(&waits, 0);
    if (pthread_create(&thread, NULL, collect_in_thread, NULL) == 0)
        pthread_detach(thread);
    else
        atomic_store(&collecting, false);
}

/* The other thread waits for the interpreter's lock. Who has it is to leave it before taking more
 * memory, so this thread waits until it has been asked to. */
static void give_way(void)
{
    if (!collects && PyGILState_Check() && atomic_fetch_add(&waits, 1) < MOST_WAITS)
        sleep_ns(ASKED_FOR_LOCK_NS);
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
    if (used <= mark)
        return;
    if (pthread_equal(pthread_self(), first_thread))
        ask_first_thread();
    else
        ask_new_thread();
    if (atomic_load(&collecting))
        give_way();
}

static void *take_arena(void *context, size_t size)
{
    look(size);
    return arenas.alloc(context, size);
}

void garbage_watch(void)
{
    first_thread = pthread_self();
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
    while (atomic_load(&collecting)) {
        Py_BEGIN_ALLOW_THREADS;
        sleep_ns(ASKED_FOR_LOCK_NS);
        Py_END_ALLOW_THREADS;
    }
    sealed = memory_now().used;
    set_mark();
}
