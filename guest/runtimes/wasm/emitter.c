/* See emitter.h. */
#include "wasm/emitter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/wasmtime_failure.h"

#define PREFIX "emit_"

struct emit { /* an import */
    const struct emitter *emitter;
    char *function;
};

static wasm_trap *outside(const char *function)
{
    char message[400];
    snprintf(message, sizeof message,
             "udfvm." PREFIX "%.100s is called where the function %.100s makes no rows", function,
             function);
    return wasmtime.wasmtime_trap_new(message, strlen(message));
}

static wasm_trap *emit(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                       size_t argument_count, wasmtime_val *results, size_t result_count)
{
    const struct emit *emit = data;
    const struct emitter *emitter = emit->emitter;
    (void)results, (void)result_count;
    if (!emitter->function || strcmp(emitter->function, emit->function) != 0)
        return outside(emit->function);
    return emitter->take(emitter->context, caller, arguments, argument_count);
}

static void delete_emit(void *data)
{
    free(((struct emit *)data)->function);
    free(data);
}

bool emitter_is(const struct import_name *import, const char *function)
{
    const wasm_bytes *module = import->module, *name = import->name;
    const size_t prefix = strlen(PREFIX);
    if (module->size != strlen(RUNTIME_MODULE) ||
        memcmp(module->data, RUNTIME_MODULE, module->size) != 0 || name->size <= prefix ||
        memcmp(name->data, PREFIX, prefix) != 0)
        return false;
    return !function || (name->size - prefix == strlen(function) &&
                         memcmp(name->data + prefix, function, strlen(function)) == 0);
}

bool emitter_define(wasmtime_linker *linker, const struct import_name *import,
                    const wasm_functype *type, const struct emitter *emitter)
{
    const wasm_bytes *name = import->name;
    struct emit *made = malloc(sizeof *made);
    if (wasmtime.wasm_functype_results(type)->size > 0) {
        free(made);
        return failure_set("LinkError", "the import udfvm.%.*s has a result, and gets none",
                           (int)(name->size < 100 ? name->size : 100), name->data);
    }
    if (!made)
        abort();
    *made = (struct emit){ emitter,
                           strndup(name->data + strlen(PREFIX), name->size - strlen(PREFIX)) };
    if (!made->function)
        abort();
    return !wasmtime_failed(
        "LinkError",
        wasmtime.wasmtime_linker_define_func(linker, import->module->data, import->module->size,
                                             name->data, name->size, type, emit, made, delete_emit),
        NULL);
}
