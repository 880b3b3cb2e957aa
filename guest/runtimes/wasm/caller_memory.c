/* See caller_memory.h. */
#include "wasm/caller_memory.h"

#include <string.h>

bool caller_memory_find(wasmtime_caller *caller, wasmtime_memory *memory)
{
    wasmtime_extern found;
    if (!wasmtime.wasmtime_caller_export_get(caller, "memory", strlen("memory"), &found) ||
        found.kind != WASMTIME_MEMORY)
        return false;
    *memory = found.of.memory;
    return true;
}

struct linear caller_memory(wasmtime_caller *caller)
{
    wasmtime_context *context = wasmtime.wasmtime_caller_context(caller);
    wasmtime_memory memory;
    if (!caller_memory_find(caller, &memory))
        return (struct linear){ NULL, 0 };
    return (struct linear){ wasmtime.wasmtime_memory_data(context, &memory),
                            wasmtime.wasmtime_memory_data_size(context, &memory) };
}
