/* See imports.h. */
#include "wasm/imports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/emitter.h"
#include "wasm/host_function.h"
#include "wasm/interface.h"
#include "wasm/known_import.h"
#include "wasm/module.h"
#include "wasm/wasi.h"
#include "wasm/wasmtime_failure.h"

#define MAX_NAME_SHOWN 100

struct linking {
    wasmtime_linker *linker;
    wasmtime_context *context;
    const struct link_settings *settings;
    size_t linked; /* so many modules of modules= */
};

bool imports_memory(const wasmtime_module *module)
{
    wasm_importtypes imports;
    bool found = false;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size && !found; i++)
        found = wasmtime.wasm_externtype_kind(wasmtime.wasm_importtype_type(imports.data[i])) ==
                WASM_EXTERN_MEMORY;
    wasmtime.wasm_importtype_vec_delete(&imports);
    return found;
}

bool imports_wasi(const wasmtime_module *module, const struct link_settings *settings)
{
    bool found = wasi_is_imported(module);
    for (size_t i = 0; i < settings->module_count && !found; i++)
        found = wasi_is_imported(settings->modules[i].compiled);
    return found;
}

/* ---- Functions that nothing provides ---- */

static wasm_trap *missing(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                          size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)caller, (void)arguments, (void)argument_count, (void)results, (void)result_count;
    return wasmtime.wasmtime_trap_new(data, strlen(data));
}

static wasmtime_error *define_missing(wasmtime_linker *linker, const struct import_name *import,
                                      const wasm_functype *type)
{
    char *message = NULL;
    if (asprintf(&message,
                 "the module called %.*s.%.*s, which nothing provides: pass it in host_functions=",
                 (int)import->module->size, import->module->data, (int)import->name->size,
                 import->name->data) < 0)
        abort();
    return wasmtime.wasmtime_linker_define_func(linker, import->module->data, import->module->size,
                                                import->name->data, import->name->size, type,
                                                missing, message, free);
}

/* ---- All imports ---- */

static bool is_defined(const struct linking *linking, const struct import_name *import)
{
    wasmtime_extern found;
    return wasmtime.wasmtime_linker_get(linking->linker, linking->context, import->module->data,
                                        import->module->size, import->name->data,
                                        import->name->size, &found);
}

/* Defines a function. *defined is false if nothing provides it. Returns false with a failure. */
static bool define_function(const struct linking *linking, const struct import_name *import,
                            const wasm_functype *type, bool *defined)
{
    const struct host_function *function = link_settings_find(linking->settings, import->name->data,
                                                              import->name->size);
    *defined = true;
    if (emitter_is(import, NULL))
        return emitter_define(linking->linker, import, type, linking->settings->emitter);
    if (function)
        return host_function_define(linking->linker, import, type, function);
    if (!known_import_define(linking->linker, import, type, defined))
        return false;
    if (*defined || !linking->settings->traps)
        return true;
    *defined = true;
    return !wasmtime_failed("LinkError", define_missing(linking->linker, import, type), NULL);
}

/* Returns the index in modules= of the import's module; their number if it is not there. */
static size_t find_module(const struct linking *linking, const struct import_name *import)
{
    size_t index = 0;
    for (; index < linking->settings->module_count; index++) {
        const char *name = linking->settings->modules[index].name;
        if (strlen(name) == import->module->size &&
            memcmp(name, import->module->data, import->module->size) == 0)
            break;
    }
    return index;
}

/* Returns true if modules= has a module of the import's name. */
static bool is_linked(const struct linking *linking, const struct import_name *import)
{
    return find_module(linking, import) < linking->settings->module_count;
}

/* Makes a memory as the import declares it. Returns false with a failure. */
static bool define_memory(const struct linking *linking, const struct import_name *import,
                          const wasm_externtype *type)
{
    wasmtime_extern made = { .kind = WASMTIME_MEMORY };
    wasmtime_error *error = wasmtime.wasmtime_memory_new(
        linking->context, wasmtime.wasm_externtype_as_memorytype_const(type), &made.of.memory);
    if (!error)
        error = wasmtime.wasmtime_linker_define(linking->linker, linking->context,
                                                import->module->data, import->module->size,
                                                import->name->data, import->name->size, &made);
    return !wasmtime_failed("LinkError", error, NULL);
}

static void list_missing(const struct linking *linking, const struct import_name *import,
                         uint8_t kind, struct bytes *list)
{
    interface_list(list, import->module, ".", import->name);
    if (kind != WASM_EXTERN_FUNC) {
        bytes_text(list, " (a ");
        bytes_text(list, interface_kind(kind));
        bytes_text(list, ")");
    }
    if (!is_linked(linking, import))
        return;
    bytes_text(list, find_module(linking, import) < linking->linked
                         ? " (which that module of modules= does not export)"
                         : " (whose module is not before this one in modules=)");
}

/* Returns true if WASI has a function of that name, but the module wants that of a compiler: its
 * type is another. */
static bool is_of_compiler(const struct import_name *import, const wasm_externtype *what)
{
    return wasi_is_module(import->module) &&
           wasmtime.wasm_externtype_kind(what) == WASM_EXTERN_FUNC &&
           known_import_is(import, wasmtime.wasm_externtype_as_functype_const(what));
}

/* Defines the imports of a module that are not defined yet, and lists those that nothing
 * provides. Returns false with a failure. */
static bool define_imports(const struct linking *linking, const wasmtime_module *module,
                           struct bytes *list)
{
    wasm_importtypes imports;
    bool done = true;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size && done; i++) {
        const struct import_name import = { wasmtime.wasm_importtype_module(imports.data[i]),
                                            wasmtime.wasm_importtype_name(imports.data[i]) };
        const wasm_externtype *what = wasmtime.wasm_importtype_type(imports.data[i]);
        const uint8_t kind = wasmtime.wasm_externtype_kind(what);
        bool defined = is_defined(linking, &import) && !is_of_compiler(&import, what);
        if (!defined && kind == WASM_EXTERN_MEMORY && !is_linked(linking, &import))
            done = defined = define_memory(linking, &import, what);
        if (!defined && kind == WASM_EXTERN_FUNC)
            done = define_function(linking, &import,
                                   wasmtime.wasm_externtype_as_functype_const(what), &defined);
        if (!defined && done)
            list_missing(linking, &import, kind, list);
    }
    wasmtime.wasm_importtype_vec_delete(&imports);
    return done;
}

static bool provide(const struct linking *linking, const wasmtime_module *module, const char *what)
{
    struct bytes list = { 0 };
    return define_imports(linking, module, &list) &&
           interface_complete(what, false, linking->settings->traps, &list);
}

static bool provide_module(const struct linking *linking, const struct linked_module *module)
{
    char what[MAX_NAME_SHOWN + 32];
    snprintf(what, sizeof what, "module %.*s of modules=", MAX_NAME_SHOWN, module->name);
    if (!provide(linking, module->compiled, what))
        return false;
    if (!wasmtime_failed("LinkError",
                         wasmtime.wasmtime_linker_module(linking->linker, linking->context,
                                                         module->name, strlen(module->name),
                                                         module->compiled),
                         NULL))
        return true;
    failure_explain(": ", "");
    return failure_explain(what, "");
}

wasmtime_linker *imports_link(wasmtime_context *context, const wasmtime_module *module,
                              const struct link_settings *settings)
{
    struct linking linking = { wasmtime.wasmtime_linker_new((wasm_engine *)engine_used()), context,
                               settings, 0 };
    bool done = !imports_wasi(module, settings) || wasi_define(linking.linker);
    for (; linking.linked < settings->module_count && done; linking.linked += done)
        done = provide_module(&linking, &settings->modules[linking.linked]);
    if (done && provide(&linking, module, "the module"))
        return linking.linker;
    wasmtime.wasmtime_linker_delete(linking.linker);
    return NULL;
}
