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
 *
 * Garbage below the mark may be what a large block lacks. A block that was refused is therefore
 * tried again after a collection: within the allocation, so a quiet one, by a thread that has the
 * interpreter's lock; and by the thread of its own for others. A mapping may be wanted by an
 * allocator that holds a lock of its own, which a block that is freed needs. For the interpreter's
 * lock and that one together, only Python's module mmap is known to hold none.
 */
#define PY_SSIZE_T_CLEAN
#include "python/garbage.h"

#include "python/quiet_collection.h"

#include <Python.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#define LEAST_STEP  ((uint64_t)32 << 20)
#define LEAST_SLACK ((uint64_t)1 << 20)
/* A thread that waits so long for the interpreter's lock makes its holder give way
 * (sys.getswitchinterval). */
#define ASKED_FOR_LOCK_NS 6000000
#define MOST_WAITS        64 /* for one collection: code in C may take memory and not give way */
/* Of a thread whose memory was refused: the one that collects may need a lock that it holds. */
#define MOST_WAITS_REFUSED 256
#define WORTH_TRIMMING     ((size_t)64 << 10)

/* scratch_malloc.c; absent where that library is not preloaded. */
extern void (*udfvm_memory_taken)(size_t size) __attribute__((weak));
extern bool (*udfvm_memory_refused)(size_t size, unsigned attempt, const void *mapper)
    __attribute__((weak));

/* Of <malloc.h> since glibc 2.33. What was built with an older one finds it where it is there. */
struct heap {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
extern struct heap heap_now(void) __asm__("mallinfo2") __attribute__((weak));

static PyObjectArenaAllocator arenas;
static uint64_t sealed, mark;
static _Atomic uint64_t slack; /* bytes that may be taken until the mark may be reached */
static atomic_bool pending, collecting;
static atomic_bool refused_some; /* memory, so the next collection is due whatever is in use */
static atomic_uint waits;        /* of threads for the one that collects */
static __thread bool collects, takes_arena, makes_room;
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
    const bool due = atomic_exchange(&refused_some, false);
    quiet_collection_finish();
    if ((due || memory_now().used > mark) &&
        PyGC_IsEnabled()) /* what was taken may be free again */
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

/* Python's allocator is in the midst of its work: freeing blocks of it would confuse it. It then
 * asks the C library for the block that it wants the arena for. */
static void *take_arena(void *context, size_t size)
{
    look(size);
    takes_arena = true;
    void *arena = arenas.alloc(context, size);
    takes_arena = false;
    return arena;
}

/* ---- Memory was refused ---- */

/* Whether code is the interpreter's own, or of its module mmap. */
static bool is_of_module_mmap(const void *code)
{
    Dl_info of_code, of_python;
    if (!dladdr(code, &of_code) || !dladdr((const void *)(uintptr_t)PyObject_Malloc, &of_python))
        return false;
    const char *slash = strrchr(of_code.dli_fname, '/'),
               *name = slash ? slash + 1 : of_code.dli_fname;
    return of_code.dli_fbase == of_python.dli_fbase || strncmp(name, "mmap.", 5) == 0;
}

static bool collect_under_lock(const void *mapper)
{
    if (!PyGC_IsEnabled() || (mapper && !is_of_module_mmap(mapper)))
        return false;
    quiet_collection();
    set_mark();
    ask_first_thread(); /* to run the finalisers */
    return true;
}

static bool await_collection(void)
{
    atomic_store(&refused_some, true);
    ask_new_thread();
    for (unsigned i = 0; i < MOST_WAITS_REFUSED && atomic_load(&collecting); i++)
        sleep_ns(ASKED_FOR_LOCK_NS);
    return true;
}

/* Returns true if another attempt may have what was refused. `mapper` is code that wants a mapping;
 * NULL: a block is wanted. */
static bool make_room(size_t size, unsigned attempt, const void *mapper)
{
    struct sysinfo info;
    if (takes_arena || makes_room || collects || attempt > 1 || sysinfo(&info) != 0 ||
        size > info.totalram * info.mem_unit)
        return false;
    if (attempt == 1) /* what is free at the end of the heap may be part of a mapping */
        return size >= WORTH_TRIMMING && malloc_trim(0) != 0;
    makes_room = true;
    const bool made = PyGILState_Check() ? collect_under_lock(mapper) : await_collection();
    makes_room = false;
    return made;
}

int garbage_watch(void)
{
    if (quiet_collection_prepare() < 0)
        return -1;
    first_thread = pthread_self();
    mark = UINT64_MAX;
    slack = UINT64_MAX;
    PyObject_GetArenaAllocator(&arenas);
    PyObjectArenaAllocator watched = arenas;
    watched.alloc = take_arena;
    PyObject_SetArenaAllocator(&watched);
    if (&udfvm_memory_taken)
        udfvm_memory_taken = look;
    if (&udfvm_memory_refused)
        udfvm_memory_refused = make_room;
    return 0;
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
