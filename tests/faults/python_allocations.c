/* Makes an allocation of Python fail: one that a C extension of udfvm asked for, itself or by a
 * function of Python that it called. Others of the interpreter, and of other extensions, succeed.
 *
 * Loaded by the program that is tested (ctypes.PyDLL).
 */
#define _GNU_SOURCE
#include <Python.h>
#include <execinfo.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#define MAX_MODULES 512
#define MAX_FRAMES  64

enum owner { PYTHON, UDFVM, OTHERS };

static struct {
    uintptr_t from, to;
    enum owner owner;
} modules[MAX_MODULES];
static int module_count;
static PyMemAllocatorEx usual[2];
static long left = -1; /* allocations that succeed before the one that fails; -1: none fails */
static bool failed;
static _Thread_local bool looking;

static enum owner owner_of(const char *path)
{
    if (path[0] == '\0' || strstr(path, "libpython") || strstr(path, "python_allocations"))
        return PYTHON;
    return strstr(path, "/udfvm/") ? UDFVM : OTHERS;
}

static int add_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    uintptr_t to = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t last = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
                               info->dlpi_phdr[i].p_memsz;
        to = info->dlpi_phdr[i].p_type == PT_LOAD && last > to ? last : to;
    }
    if (module_count < MAX_MODULES) {
        modules[module_count].from = info->dlpi_addr;
        modules[module_count].to = to;
        modules[module_count++].owner = owner_of(info->dlpi_name);
    }
    return 0;
}

static enum owner owner_at(uintptr_t address)
{
    for (int i = 0; i < module_count; i++)
        if (address >= modules[i].from && address < modules[i].to)
            return modules[i].owner;
    return OTHERS;
}

/* Whether the first who is not Python, upwards from here, is udfvm. */
static bool is_asked_by_udfvm(void)
{
    void *frames[MAX_FRAMES];
    const int count = backtrace(frames, MAX_FRAMES);
    enum owner owner = PYTHON;
    for (int i = 0; i < count && owner == PYTHON; i++)
        owner = owner_at((uintptr_t)frames[i]);
    return owner == UDFVM;
}

static bool fails(void)
{
    if (left < 0 || looking)
        return false;
    looking = true;
    const bool counts = is_asked_by_udfvm();
    looking = false;
    if (!counts || left-- > 0)
        return false;
    failed = true;
    return true;
}

static void *allocate(void *context, size_t size)
{
    const PyMemAllocatorEx *own = context;
    return fails() ? NULL : own->malloc(own->ctx, size);
}

static void *allocate_zeroed(void *context, size_t count, size_t size)
{
    const PyMemAllocatorEx *own = context;
    return fails() ? NULL : own->calloc(own->ctx, count, size);
}

static void *reallocate(void *context, void *old, size_t size)
{
    const PyMemAllocatorEx *own = context;
    return fails() ? NULL : own->realloc(own->ctx, old, size);
}

static void give_back(void *context, void *memory)
{
    const PyMemAllocatorEx *own = context;
    own->free(own->ctx, memory);
}

/* ---- For the program. All of it has the interpreter's lock. ---- */

void watch_allocations(void)
{
    static const PyMemAllocatorDomain domains[] = { PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ };
    void *frames[1];
    backtrace(frames, 1); /* which allocates when it is called for the first time */
    dl_iterate_phdr(add_module, NULL);
    for (int i = 0; i < 2; i++) {
        PyMemAllocatorEx own = { &usual[i], allocate, allocate_zeroed, reallocate, give_back };
        PyMem_GetAllocator(domains[i], &usual[i]);
        PyMem_SetAllocator(domains[i], &own);
    }
}

void arm(long before)
{
    failed = false;
    left = before;
}

int disarm(void)
{
    left = -1;
    return failed;
}
