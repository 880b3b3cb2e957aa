/* See known_import.h. */
#include "wasm/known_import.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "shared/compiled/failure.h"
#include "utf8.h"
#include "wasm/text_format.h"
#include "wasm/value_type.h"
#include "wasm/wasmtime_failure.h"

#define MAX_MESSAGE 1600 /* bytes of what a module says of its end */

static struct linear memory_of(wasmtime_caller *caller)
{
    wasmtime_context *context = wasmtime.wasmtime_caller_context(caller);
    wasmtime_extern memory;
    if (!wasmtime.wasmtime_caller_export_get(caller, "memory", strlen("memory"), &memory) ||
        memory.kind != WASMTIME_MEMORY)
        return (struct linear){ NULL, 0 };
    return (struct linear){ wasmtime.wasmtime_memory_data(context, &memory.of.memory),
                            wasmtime.wasmtime_memory_data_size(context, &memory.of.memory) };
}

/* Appends the text of an object of AssemblyScript; "?" for one that is none. */
static void write_object(const struct linear *linear, int32_t address, struct bytes *to)
{
    uint32_t length;
    const uint8_t *text = script_object(linear, (uint32_t)address, &length);
    if (address != 0 && text && length <= MAX_MESSAGE)
        utf16_to_utf8(text, length, to);
    else
        bytes_text(to, "?");
}

static wasm_trap *trap_of(struct bytes *message)
{
    wasm_trap *trap = wasmtime.wasmtime_trap_new((const char *)message->at, message->length);
    bytes_free(message);
    return trap;
}

/* abort(message, file, line, column) of AssemblyScript: a failed assert, an Error that is thrown.
 */
static wasm_trap *script_abort(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                               size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    const struct linear linear = memory_of(caller);
    struct bytes message = { 0 };
    char place[48];
    bytes_text(&message, "the module aborted: ");
    write_object(&linear, arguments[0].of.i32, &message);
    bytes_text(&message, ", in ");
    write_object(&linear, arguments[1].of.i32, &message);
    snprintf(place, sizeof place, ":%d:%d", arguments[2].of.i32, arguments[3].of.i32);
    bytes_text(&message, place);
    return trap_of(&message);
}

/* __wbindgen_throw(address, length): a panic or an error of Rust. */
static wasm_trap *bindgen_throw(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                                size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    const struct linear linear = memory_of(caller);
    const uint32_t length = (uint32_t)arguments[1].of.i32;
    const uint8_t *text = linear_at(&linear, (uint32_t)arguments[0].of.i32, length);
    struct bytes message = { 0 };
    bytes_text(&message, "the module threw: ");
    if (text && length <= MAX_MESSAGE && utf8_is_valid(text, length))
        bytes_put(&message, text, length);
    else
        bytes_text(&message, "?");
    return trap_of(&message);
}

/* abort() of C, as Emscripten imports it. */
static wasm_trap *plain_abort(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    static const char message[] = "the module aborted";
    return wasmtime.wasmtime_trap_new(message, strlen(message));
}

/* seed() of AssemblyScript, for Math.random(). The guest kernel's random numbers are new in every
 * call. */
static wasm_trap *script_seed(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits = 0;
    results[0] = (wasmtime_val){ .kind = WASM_F64, .of.f64 = (double)(bits >> 11) };
    return NULL;
}

/* Emscripten's memcpy() of large blocks: to, from, length. */
static wasm_trap *copy_memory(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    static const char message[] = "out of bounds memory access";
    const struct linear linear = memory_of(caller);
    const uint32_t length = (uint32_t)arguments[2].of.i32;
    uint8_t *to = linear_at(&linear, (uint32_t)arguments[0].of.i32, length);
    const uint8_t *from = linear_at(&linear, (uint32_t)arguments[1].of.i32, length);
    if (!to || !from)
        return wasmtime.wasmtime_trap_new(message, strlen(message));
    memmove(to, from, length);
    return NULL;
}

static wasm_trap *do_nothing(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                             size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    return NULL;
}

static const struct {
    const char *module, *name; /* module "": any; the name may be followed by more */
    const char *type;
    wasmtime_callback *body;
} known[] = {
    { "env", "abort", "(param i32 i32 i32 i32)", script_abort },
    { "env", "seed", "(result f64)", script_seed },
    { "env", "abort", "", plain_abort },
    { "env", "_abort_js", "", plain_abort },
    { "env", "emscripten_notify_memory_growth", "(param i32)", do_nothing },
    { "env", "emscripten_memcpy_js", "(param i32 i32 i32)", copy_memory },
    { "env", "_emscripten_memcpy_js", "(param i32 i32 i32)", copy_memory },
    { "", "__wbindgen_throw", "(param i32 i32)", bindgen_throw },
    { "", "__wbg___wbindgen_throw", "(param i32 i32)", bindgen_throw },
    { "", "__wbindgen_init_externref_table", "", do_nothing },
};

static bool begins(const wasm_bytes *name, const char *with)
{
    return name->size >= strlen(with) && memcmp(name->data, with, strlen(with)) == 0;
}

static bool is_module(const wasm_bytes *name, const char *known_name)
{
    return !*known_name || (begins(name, known_name) && name->size == strlen(known_name));
}

static wasmtime_callback *find(const struct import_name *import, const wasm_functype *type)
{
    struct bytes text = { 0 };
    wasmtime_callback *body = NULL;
    function_type_write(type, &text);
    for (size_t i = 0; i < sizeof known / sizeof *known && !body; i++)
        if (is_module(import->module, known[i].module) && begins(import->name, known[i].name) &&
            text.length == strlen(known[i].type) &&
            memcmp(text.at ? text.at : (const uint8_t *)"", known[i].type, text.length) == 0)
            body = known[i].body;
    bytes_free(&text);
    return body;
}

bool known_import_is(const struct import_name *import, const wasm_functype *type)
{
    return find(import, type) != NULL;
}

bool known_import_define(wasmtime_linker *linker, const struct import_name *import,
                         const wasm_functype *type, bool *defined)
{
    wasmtime_callback *body = find(import, type);
    *defined = body != NULL;
    return !body ||
           !wasmtime_failed("LinkError",
                            wasmtime.wasmtime_linker_define_func(
                                linker, import->module->data, import->module->size,
                                import->name->data, import->name->size, type, body, NULL, NULL),
                            NULL);
}
