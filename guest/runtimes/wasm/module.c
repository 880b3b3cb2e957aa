/* Compiling and instantiating: see module.h. */
#include "wasm/module.h"

#include <string.h>

#include "wasm/component_host.h"
#include "wasm/component_wasi.h"
#include "shared/compiled/failure.h"
#include "wasm/imported_memory.h"
#include "wasm/imports.h"
#include "wasm/memory_creator.h"
#include "wasm/wasmtime_failure.h"
#include "wasm/wasi.h"

#define WASM_STACK \
    (512u << 10) /* bytes of the program's stack that calls of Wasm functions may use */

static wasm_engine *engine;

/* A micro-VM has no memory protection inside, no address space beyond its memory, and one
 * processor. So the code checks bounds without guard pages, traps are not signals, memory is
 * reserved only when it is used, and one thread compiles. */
void engine_prepare(void)
{
    wasm_config *config = wasmtime.wasm_config_new();
    wasmtime.wasmtime_config_signals_based_traps_set(config, false);
    wasmtime.wasmtime_config_memory_guard_size_set(config, 0);
    wasmtime.wasmtime_config_memory_reservation_set(config, 0);
    wasmtime.wasmtime_config_memory_reservation_for_growth_set(config, 0);
    wasmtime.wasmtime_config_memory_init_cow_set(config, false);
    wasmtime.wasmtime_config_parallel_compilation_set(config, false);
    wasmtime.wasmtime_config_native_unwind_info_set(config, false);
    memory_creator_set(config);
    wasmtime.wasmtime_config_max_wasm_stack_set(config, WASM_STACK);
    engine = wasmtime.wasm_engine_new_with_config(config);
}

/* Returns true for text, which begins, after blanks, with a parenthesis or a comment. */
static bool is_text(const uint8_t *code, size_t length)
{
    size_t index = 0;
    while (index < length && strchr(" \t\r\n", code[index]) && code[index])
        index++;
    return index + 1 < length &&
           (code[index] == '(' || (code[index] == ';' && code[index + 1] == ';')) &&
           !memchr(code, 0, length);
}

const wasm_engine *engine_used(void)
{
    return engine;
}

static bool is_binary(const uint8_t *code, size_t length)
{
    return length >= 4 && memcmp(code, "\0asm", 4) == 0;
}

static bool begins(const uint8_t *code, size_t length, const char *with)
{
    return length >= strlen(with) && memcmp(code, with, strlen(with)) == 0;
}

/* Returns what a file is that has no module. */
static const char *what_else(const uint8_t *code, size_t length)
{
    if (length == 0)
        return "it is empty";
    if (begins(code, length, "!<arch>\n"))
        return "it is an archive of objects: link these to a module or a shared object";
    if (begins(code, length, "\x1f\x8b") || begins(code, length, "PK\x03\x04"))
        return "it is compressed: unpack it";
    return "it begins neither as a binary module (\\0asm) nor as text, \"(module\"";
}

/* Converts *code to binary if it is text. The caller deletes the binary. Returns false with a
 * failure. */
static bool to_binary(const uint8_t **code, size_t *length, wasm_bytes *binary)
{
    *binary = (wasm_bytes){ 0, NULL };
    if (is_binary(*code, *length))
        return true;
    if (!is_text(*code, *length))
        return failure_set("CompileError", "not a WebAssembly file: %s", what_else(*code, *length));
    if (wasmtime_failed("CompileError",
                        wasmtime.wasmtime_wat2wasm((const char *)*code, *length, binary), NULL))
        return false;
    *code = (const uint8_t *)binary->data;
    *length = binary->size;
    return true;
}

wasmtime_module *module_compile(const uint8_t *code, size_t length)
{
    wasmtime_module *module = NULL;
    wasm_bytes binary;
    struct bytes exporting = { 0 };
    if (!to_binary(&code, &length, &binary))
        return NULL;
    if (imported_memory_export(code, length, &exporting)) {
        code = exporting.at;
        length = exporting.length;
    }
    if (wasmtime_failed("CompileError", wasmtime.wasmtime_module_new(engine, code, length, &module),
                        NULL))
        module = NULL;
    bytes_free(&exporting);
    if (binary.data)
        wasmtime.wasm_byte_vec_delete(&binary);
    return module;
}

wasmtime_component *component_compile(const uint8_t *code, size_t length)
{
    wasmtime_component *component = NULL;
    wasm_bytes binary;
    if (!to_binary(&code, &length, &binary))
        return NULL;
    if (wasmtime_failed("CompileError",
                        wasmtime.wasmtime_component_new(engine, code, length, &component), NULL))
        component = NULL;
    if (binary.data)
        wasmtime.wasm_byte_vec_delete(&binary);
    return component;
}

wasmtime_module *module_deserialize(const uint8_t *bytes, size_t length)
{
    wasmtime_module *module = NULL;
    return wasmtime_failed("CompileError",
                           wasmtime.wasmtime_module_deserialize(engine, bytes, length, &module),
                           NULL)
               ? NULL
               : module;
}

wasmtime_component *component_deserialize(const uint8_t *bytes, size_t length)
{
    wasmtime_component *component = NULL;
    return wasmtime_failed(
               "CompileError",
               wasmtime.wasmtime_component_deserialize(engine, bytes, length, &component), NULL)
               ? NULL
               : component;
}

bool component_instantiate(const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings, wasmtime_component_instance *instance)
{
    wasmtime_component_linker *linker = wasmtime.wasmtime_component_linker_new(engine);
    const bool done = component_wasi_define(linker, engine, component, context, settings) &&
                      component_host_define(linker, engine, component, &settings->link) &&
                      !wasmtime_failed("LinkError",
                                       wasmtime.wasmtime_component_linker_instantiate(
                                           linker, context, component, instance),
                                       NULL);
    wasmtime.wasmtime_component_linker_delete(linker);
    return done;
}

wasmtime_instance_pre *module_link(const wasmtime_module *module, const struct settings *settings)
{
    wasmtime_instance_pre *pre = NULL;
    wasmtime_store *store = module_store();
    wasmtime_linker *linker = imports_link(wasmtime.wasmtime_store_context(store), module,
                                           &settings->link);
    if (linker) {
        if (wasmtime_failed("LinkError",
                            wasmtime.wasmtime_linker_instantiate_pre(linker, module, &pre), NULL))
            pre = NULL;
        wasmtime.wasmtime_linker_delete(linker);
    }
    wasmtime.wasmtime_store_delete(store);
    return pre;
}

wasmtime_store *module_store(void)
{
    return wasmtime.wasmtime_store_new(engine, NULL, NULL);
}

/* What must run before other functions, and runs the constructors of C++: that of WASI's
 * application ABI, of wasm-bindgen, and of linkers that leave it to who loads the module. */
static const char *const initializers[] = { "_initialize", "__wbindgen_start",
                                            "__wasm_call_ctors" };

/* Calls the first of the initializers that the module has. */
static bool initialize(struct wasm_module *module)
{
    wasmtime_extern function;
    wasm_trap *trap = NULL;
    size_t at = 0;
    const size_t count = sizeof initializers / sizeof *initializers;
    while (at < count && !module_export(module, initializers[at], WASMTIME_FUNC, &function))
        at++;
    if (at == count)
        return true;
    wasmtime_error *error = wasmtime.wasmtime_func_call(module->context, &function.of.func, NULL, 0,
                                                        NULL, 0, &trap);
    if (!wasmtime_failed("RuntimeError", error, trap))
        return true;
    failure_explain(" failed: ", "");
    failure_explain(initializers[at], "");
    return failure_explain("its ", "");
}

bool module_instantiate(const wasmtime_module *module, wasmtime_context *context,
                        const struct settings *settings, wasmtime_instance *instance)
{
    wasm_trap *trap = NULL;
    wasmtime_linker *linker = imports_link(context, module, &settings->link);
    if (!linker)
        return false;
    wasmtime_error *error = wasmtime.wasmtime_linker_instantiate(linker, context, module, instance,
                                                                 &trap);
    wasmtime.wasmtime_linker_delete(linker);
    return !wasmtime_failed("LinkError", error, trap) ||
           (trap && failure_explain("its start function, or its initial data, failed: ", ""));
}

/* Creates a store and an instance of a compiled module. Returns false with a failure. */
static bool open_instance(struct wasm_module *module, const struct settings *settings)
{
    module->store = module_store();
    module->context = wasmtime.wasmtime_store_context(module->store);
    return (!imports_wasi(module->module, &settings->link) ||
            wasi_configure(module->context, settings, NULL)) &&
           module_instantiate(module->module, module->context, settings, &module->instance) &&
           initialize(module);
}

bool module_open(struct wasm_module *module, wasmtime_module *compiled,
                 const struct settings *settings)
{
    *module = (struct wasm_module){ .module = compiled };
    if (open_instance(module, settings))
        return true;
    module_close(module);
    return false;
}

bool module_reopen(struct wasm_module *module, const struct settings *settings)
{
    wasmtime.wasmtime_store_delete(module->store);
    return open_instance(module, settings);
}

void module_close(struct wasm_module *module)
{
    if (module->store)
        wasmtime.wasmtime_store_delete(module->store);
    if (module->module)
        wasmtime.wasmtime_module_delete(module->module);
    *module = (struct wasm_module){ NULL };
}

bool module_export(const struct wasm_module *module, const char *name,
                   enum wasmtime_extern_kind kind, wasmtime_extern *found)
{
    return wasmtime.wasmtime_instance_export_get(module->context, &module->instance, name,
                                                 strlen(name), found) &&
           found->kind == kind;
}
