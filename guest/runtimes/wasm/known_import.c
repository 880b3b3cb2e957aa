/* See known_import.h. */
#include "wasm/known_import.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/compiled/failure.h"
#include "utf8.h"
#include "wasm/bindgen_import.h"
#include "wasm/caller_memory.h"
#include "wasm/script_import.h"
#include "wasm/value_type.h"
#include "wasm/wasmtime_failure.h"

#define MAX_MESSAGE 1600 /* bytes of what a module says of its end */
#define MAX_PART    500  /* bytes of each of its parts, if there are several */
#define WASM_PAGE   65536u

static wasm_trap *trap_of(struct bytes *message)
{
    wasm_trap *trap = wasmtime.wasmtime_trap_new((const char *)message->at, message->length);
    bytes_free(message);
    return trap;
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

/* Emscripten's memcpy() of large blocks: to, from, length. */
static wasm_trap *copy_memory(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    static const char message[] = "out of bounds memory access";
    const struct linear linear = caller_memory(caller);
    const uint32_t length = (uint32_t)arguments[2].of.i32;
    uint8_t *to = linear_at(&linear, (uint32_t)arguments[0].of.i32, length);
    const uint8_t *from = linear_at(&linear, (uint32_t)arguments[1].of.i32, length);
    if (!to || !from)
        return wasmtime.wasmtime_trap_new(message, strlen(message));
    memmove(to, from, length);
    return NULL;
}

/* Emscripten's growing of the memory to a number of bytes: 1, or 0 if there is no room. */
static wasm_trap *resize_memory(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                                size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)result_count;
    wasmtime_context *context = wasmtime.wasmtime_caller_context(caller);
    wasmtime_memory memory;
    const uint64_t size = (uint32_t)arguments[0].of.i32;
    bool done = caller_memory_find(caller, &memory);
    const uint64_t has = done ? wasmtime.wasmtime_memory_data_size(context, &memory) : 0;
    if (done && size > has) {
        uint64_t before;
        wasmtime_error *error = wasmtime.wasmtime_memory_grow(
            context, &memory, (size - has + WASM_PAGE - 1) / WASM_PAGE, &before);
        done = !error;
        if (error)
            wasmtime.wasmtime_error_delete(error);
    }
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = done };
    return NULL;
}

/* Appends text of C; "?" for what is none. */
static void write_text(const struct linear *linear, int32_t address, struct bytes *to)
{
    const uint8_t *text = linear_at(linear, (uint32_t)address, 1);
    if (address == 0 || !text) {
        bytes_text(to, "?");
        return;
    }
    const size_t left = linear->size - (uint32_t)address;
    const size_t length = strnlen((const char *)text, left < MAX_PART ? left : MAX_PART);
    if (utf8_is_valid(text, length))
        bytes_put(to, text, length);
    else
        bytes_text(to, "?");
}

/* __assert_fail(condition, file, line, function) of C. */
static wasm_trap *assert_fail(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    const struct linear linear = caller_memory(caller);
    struct bytes message = { 0 };
    char line[16];
    bytes_text(&message, "the module aborted: assertion failed: ");
    write_text(&linear, arguments[0].of.i32, &message);
    bytes_text(&message, ", in ");
    write_text(&linear, arguments[1].of.i32, &message);
    snprintf(line, sizeof line, ":%d", arguments[2].of.i32);
    bytes_text(&message, line);
    return trap_of(&message);
}

static double milliseconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Date.now(): whole milliseconds since 1970. */
static wasm_trap *date_now(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                           size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    const int64_t now = (int64_t)milliseconds(CLOCK_REALTIME);
    results[0] = (wasmtime_val){ .kind = WASM_F64, .of.f64 = (double)now };
    return NULL;
}

/* performance.now(): milliseconds of a clock that never goes back. */
static wasm_trap *performance_now(void *data, wasmtime_caller *caller,
                                  const wasmtime_val *arguments, size_t argument_count,
                                  wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    results[0] = (wasmtime_val){ .kind = WASM_F64, .of.f64 = milliseconds(CLOCK_MONOTONIC) };
    return NULL;
}

static wasm_trap *do_nothing(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                             size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    return NULL;
}

#define NUMBER_OF_TEXT    "(param i32 i32) (result i32)", bindgen_number_of_text
#define REFERENCE_OF_TEXT "(param i32 i32) (result externref)", bindgen_reference_of_text

static const struct {
    const char *module, *name; /* module "": any; the name may be followed by more */
    const char *type;
    wasmtime_callback *body;
} known[] = {
    { "env", "abort", "(param i32 i32 i32 i32)", script_abort },
    { "env", "seed", "(result f64)", script_seed },
    { "env", "console.debug", "(param i32)", script_print },
    { "env", "console.error", "(param i32)", script_print_error },
    { "env", "console.info", "(param i32)", script_print },
    { "env", "console.log", "(param i32)", script_print },
    { "env", "console.warn", "(param i32)", script_print_error },
    { "env", "trace", "(param i32 i32 f64 f64 f64 f64 f64)", script_trace },
    { "env", "Date.now", "(result f64)", date_now },
    { "env", "performance.now", "(result f64)", performance_now },
    { "env", "abort", "", plain_abort },
    { "env", "_abort_js", "", plain_abort },
    { "env", "emscripten_notify_memory_growth", "(param i32)", do_nothing },
    { "env", "emscripten_resize_heap", "(param i32) (result i32)", resize_memory },
    { "env", "emscripten_date_now", "(result f64)", date_now },
    { "env", "emscripten_get_now", "(result f64)", performance_now },
    { "env", "__assert_fail", "(param i32 i32 i32 i32)", assert_fail },
    { "env", "emscripten_memcpy_big", "(param i32 i32 i32)", copy_memory },
    { "env", "emscripten_memcpy_js", "(param i32 i32 i32)", copy_memory },
    { "env", "_emscripten_memcpy_js", "(param i32 i32 i32)", copy_memory },
    { "", "__wbindgen_throw", "(param i32 i32)", bindgen_throw },
    { "", "__wbg___wbindgen_throw", "(param i32 i32)", bindgen_throw },
    { "", "__wbindgen_init_externref_table", "", do_nothing },
    { "", "__wbindgen_object_drop_ref", "(param i32)", do_nothing },
    { "", "__wbindgen_string_new", NUMBER_OF_TEXT },
    { "", "__wbindgen_string_new", REFERENCE_OF_TEXT },
    { "", "__wbindgen_error_new", NUMBER_OF_TEXT },
    { "", "__wbindgen_error_new", REFERENCE_OF_TEXT },
    { "", "__wbindgen_cast_", NUMBER_OF_TEXT },
    { "", "__wbindgen_cast_", REFERENCE_OF_TEXT },
    { "", "__wbg_Error_", NUMBER_OF_TEXT },
    { "", "__wbg_Error_", REFERENCE_OF_TEXT },
    { "", "__wbg_log_", "(param i32 i32)", bindgen_print },
    { "", "__wbg_info_", "(param i32 i32)", bindgen_print },
    { "", "__wbg_debug_", "(param i32 i32)", bindgen_print },
    { "", "__wbg_warn_", "(param i32 i32)", bindgen_print_error },
    { "", "__wbg_error_", "(param i32 i32)", bindgen_print_error },
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
