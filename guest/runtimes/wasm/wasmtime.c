/* Loads libwasmtime: see wasmtime.h. */
#include "wasm/wasmtime.h"

#include <dlfcn.h>
#include <string.h>

#include "shared/compiled/failure.h"

struct wasmtime wasmtime;

static bool find(void *library, const char *name, void *pointer)
{
    void *address = dlsym(library, name);
    memcpy(pointer, &address, sizeof address);
    if (!address)
        failure_set("ImportError",
                    "libwasmtime has no function %s: version %d of the package wasmtime is needed",
                    name, WASMTIME_MAJOR);
    return address != NULL;
}

bool wasmtime_open(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return failure_set("ImportError", "libwasmtime does not load: %s", dlerror());
#define FIND(RESULT, NAME, ARGUMENTS)          \
    if (!find(library, #NAME, &wasmtime.NAME)) \
        return false;
    WASMTIME_FUNCTIONS(FIND)
#undef FIND
    return true;
}
