/* See module_memory.h. */
#include "wasm/module_memory.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/interface.h"
#include "wasm/value_type.h"
#include "wasm/wasmtime_failure.h"

#define MAX_ALIGNMENT 8

/* Pairs of functions, from languages and from users. Sizes and alignment are arguments as the
 * number of parameters tells. */
static const struct {
    enum memory_form form;
    const char *allocate, *release, *pin; /* NULL: there is none */
} allocators[] = {
    { MEMORY_SCRIPT, "__new", "__unpin", "__pin" },
    { MEMORY_BINDGEN, "__wbindgen_malloc", "__wbindgen_free", NULL },
    { MEMORY_BYTES, "malloc", "free", NULL },
    { MEMORY_BYTES, "alloc", "dealloc", NULL },
    { MEMORY_BYTES, "allocate", "deallocate", NULL },
    { MEMORY_BYTES, "cabi_realloc", NULL, NULL },
};

/* ---- Finding the functions ---- */

static bool are_words(const wasm_valtypes *types)
{
    bool words = true;
    for (size_t i = 0; i < types->size && words; i++) {
        enum wasm_kind kind;
        words = value_type_kind(types->data[i], &kind) && kind == WASM_I32;
    }
    return words;
}

/* Takes the number of parameters of a function whose parameters and result are i32. */
static bool take_type(const wasm_functype *type, const char *name, void *into)
{
    struct memory_function *function = into;
    const wasm_valtypes *parameters = wasmtime.wasm_functype_params(type);
    (void)name;
    function->parameters = parameters->size;
    function->found = parameters->size > 0 && parameters->size <= 4 && are_words(parameters) &&
                      are_words(wasmtime.wasm_functype_results(type));
    return function->found;
}

static struct memory_function find(const struct wasm_module *module, const char *name)
{
    struct memory_function function = { .found = false };
    wasmtime_extern export;
    if (name && module_export(module, name, WASMTIME_FUNC, &export)) {
        module_function(module->module, name, take_type, &function);
        function.function = export.of.func;
    }
    return function;
}

/* wasm-bindgen may call its functions __wbindgen_export_0, __wbindgen_export2 and so on. */
static const char unnamed[] = "__wbindgen_export";

/* Finds the only function of such a name that has so many words as parameters and results. */
static struct memory_function find_unnamed(const struct wasm_module *module, size_t parameters,
                                           size_t results)
{
    struct memory_function function = { .found = false };
    wasm_exporttypes exports;
    size_t count = 0;
    wasmtime.wasmtime_module_exports(module->module, &exports);
    for (size_t i = 0; i < exports.size; i++) {
        const wasm_bytes *name = wasmtime.wasm_exporttype_name(exports.data[i]);
        const wasm_externtype *what = wasmtime.wasm_exporttype_type(exports.data[i]);
        wasmtime_extern export;
        if (wasmtime.wasm_externtype_kind(what) != WASM_EXTERN_FUNC ||
            name->size < strlen(unnamed) || memcmp(name->data, unnamed, strlen(unnamed)) != 0)
            continue;
        const wasm_functype *type = wasmtime.wasm_externtype_as_functype_const(what);
        if (wasmtime.wasm_functype_params(type)->size == parameters &&
            wasmtime.wasm_functype_results(type)->size == results &&
            take_type(type, unnamed, &function) && ++count == 1 &&
            wasmtime.wasmtime_instance_export_get(module->context, &module->instance, name->data,
                                                  name->size, &export))
            function.function = export.of.func;
    }
    wasmtime.wasm_exporttype_vec_delete(&exports);
    function.found = count == 1;
    return function;
}

/* Those of wasm-bindgen take size and alignment, and address, size and alignment. */
static void find_by_types(struct module_memory *memory, const struct wasm_module *module)
{
    memory->allocate = find_unnamed(module, 2, 1);
    if (memory->allocate.found) {
        memory->form = MEMORY_BINDGEN;
        memory->release = find_unnamed(module, 3, 0);
    }
}

void module_memory_find(struct module_memory *memory, const struct wasm_module *module)
{
    wasmtime_extern export;
    *memory = (struct module_memory){ .context = module->context };
    memory->has_memory = module_export(module, "memory", WASMTIME_MEMORY, &export);
    if (memory->has_memory)
        memory->memory = export.of.memory;
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators && !memory->allocate.found; i++) {
        memory->form = allocators[i].form;
        memory->allocate = find(module, allocators[i].allocate);
        memory->release = find(module, allocators[i].release);
        memory->pin = find(module, allocators[i].pin);
    }
    if (memory->allocate.found)
        return;
    memory->form = MEMORY_BYTES;
    find_by_types(memory, module);
}

/* ---- Using them ---- */

struct linear module_memory_linear(const struct module_memory *memory)
{
    if (!memory->has_memory)
        return (struct linear){ NULL, 0 };
    return (struct linear){ wasmtime.wasmtime_memory_data(memory->context, &memory->memory),
                            wasmtime.wasmtime_memory_data_size(memory->context, &memory->memory) };
}

static bool call(const struct module_memory *memory, const struct memory_function *function,
                 const uint32_t *words, size_t results, uint32_t *result)
{
    wasmtime_val arguments[4], value = { .kind = WASM_I32 };
    wasm_trap *trap = NULL;
    for (size_t i = 0; i < function->parameters; i++)
        arguments[i] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = (int32_t)words[i] };
    wasmtime_error *error = wasmtime.wasmtime_func_call(memory->context, &function->function,
                                                        arguments, function->parameters, &value,
                                                        results, &trap);
    *result = (uint32_t)value.of.i32;
    return !wasmtime_failed("RuntimeError", error, trap);
}

bool module_memory_can_allocate(const struct module_memory *memory)
{
    if (memory->allocate.found && memory->has_memory)
        return true;
    return failure_set(
        "TypeError",
        "text and bytes need the module's memory, and a function of it that allocates "
        "there: export memory and malloc and free, alloc and dealloc, allocate and deallocate, "
        "cabi_realloc, or those of wasm-bindgen, or compile AssemblyScript with "
        "--exportRuntime");
}

static uint32_t alignment(const struct module_memory *memory)
{
    return memory->form == MEMORY_BINDGEN ? 1 : MAX_ALIGNMENT; /* as Rust's text has it */
}

static uint32_t second_argument(const struct module_memory *memory, uint32_t class)
{
    return memory->form == MEMORY_SCRIPT ? class : alignment(memory);
}

/* Not every allocator makes room for nothing. */
static uint32_t room(const struct module_memory *memory, size_t length)
{
    return length == 0 && memory->form == MEMORY_BYTES ? 1 : (uint32_t)length;
}

static bool allocate(const struct module_memory *memory, uint32_t length, uint32_t class,
                     uint32_t *address)
{
    const uint32_t sized[4] = { length, second_argument(memory, class) },
                   resized[4] = { 0, 0, MAX_ALIGNMENT, length };
    const bool resizes = memory->allocate.parameters == 4;
    if (!call(memory, &memory->allocate, resizes ? resized : sized, 1, address))
        return false;
    const struct linear linear = module_memory_linear(memory);
    if (*address == 0 || !linear_at(&linear, *address, length))
        return failure_set("MemoryError", "the module did not allocate %u bytes", length);
    return module_memory_keep(memory, *address);
}

bool module_memory_allocate(const struct module_memory *memory, size_t length, uint32_t *address)
{
    return allocate(memory, (uint32_t)length, SCRIPT_BUFFER, address);
}

bool module_memory_put(const struct module_memory *memory, const char *bytes, bool text,
                       size_t *length, uint32_t *address)
{
    struct bytes made = { 0 };
    const bool script = memory->form == MEMORY_SCRIPT;
    if (script && text)
        utf8_to_utf16(bytes, *length, &made);
    else
        bytes_put(&made, bytes, *length);
    *length = made.length;
    bool done = made.length <= INT32_MAX ||
                failure_set("OverflowError", "a module takes at most 2 GiB of text or bytes");
    done = done &&
           allocate(memory, room(memory, made.length), text ? SCRIPT_TEXT : SCRIPT_BUFFER, address);
    if (done && made.length > 0) {
        const struct linear linear = module_memory_linear(memory);
        memcpy(linear_at(&linear, *address, made.length), made.at, made.length);
    }
    bytes_free(&made);
    return done;
}

bool module_memory_release(const struct module_memory *memory, uint32_t address, size_t length)
{
    const uint32_t words[4] = { address, room(memory, length), alignment(memory) };
    uint32_t unused;
    return !memory->release.found || call(memory, &memory->release, words, 0, &unused);
}

bool module_memory_keep(const struct module_memory *memory, uint32_t address)
{
    return memory->form != MEMORY_SCRIPT || !memory->pin.found ||
           call(memory, &memory->pin, &address, 1, &address);
}
