/* udfvm.emit_NAME, the import by which the function NAME of a module passes on a row of its
 * table. */
#ifndef UDFVM_WASM_EMITTER_H
#define UDFVM_WASM_EMITTER_H

#include "wasm/host_function.h"

/* Who takes the rows. */
struct emitter {
    const char *function; /* that makes them now; NULL: none does */
    /* Takes the values of a row. A trap leaves the function. */
    wasm_trap *(*take)(void *context, wasmtime_caller *caller, const wasmtime_val *values,
                       size_t count);
    void *context;
};

/* Returns true if an import takes the rows of a function; of any function if that is NULL. */
bool emitter_is(const struct import_name *import, const char *function);
/* Defines an import that does. Returns false with a failure. */
bool emitter_define(wasmtime_linker *linker, const struct import_name *import,
                    const wasm_functype *type, const struct emitter *emitter);

#endif
