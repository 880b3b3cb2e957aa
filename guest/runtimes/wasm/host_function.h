/* Host functions as imports of core modules. */
#ifndef UDFVM_WASM_HOST_FUNCTION_H
#define UDFVM_WASM_HOST_FUNCTION_H

#include "wasm/link_settings.h"

/* Where an import is: its module and its name. */
struct import_name {
    const wasm_bytes *module, *name;
};

/* Defines an import of the given type as a host function. The module passes a bool or integer as
 * i32 or i64 and a float as f32 or f64. Text and bytes are an address and a length in bytes, both
 * i32; as the result, the module passes address and capacity of a buffer behind the other
 * arguments, and gets the length, or -1 for null. AssemblyScript passes and gets its own objects.
 * Returns false with a failure if the type is another. */
bool host_function_define(wasmtime_linker *linker, const struct import_name *import,
                          const wasm_functype *type, const struct host_function *function);
/* Makes the trap of a host call that failed. */
wasm_trap *host_function_trap(const char *name, const char *message);

#endif
