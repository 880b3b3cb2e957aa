/* See known_import.h. */
#include "wasm/known_import.h"

#include <string.h>
#include <time.h>

#include "wasm/bindgen_import.h"
#include "wasm/emscripten_import.h"
#include "wasm/script_import.h"
#include "wasm/value_type.h"
#include "wasm/wasi.h"
#include "wasm/wasmtime_failure.h"

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
    { "env", "abort", "", emscripten_abort },
    { "env", "_abort_js", "", emscripten_abort },
    { "env", "emscripten_notify_memory_growth", "(param i32)", do_nothing },
    { "env", "emscripten_resize_heap", "(param i32) (result i32)", emscripten_resize },
    { "env", "emscripten_date_now", "(result f64)", date_now },
    { "env", "emscripten_get_now", "(result f64)", performance_now },
    { "env", "__assert_fail", "(param i32 i32 i32 i32)", emscripten_assert },
    { "env", "__cxa_allocate_exception", "(param i32) (result i32)", emscripten_throw },
    { "env", "__cxa_throw", "(param i32 i32 i32)", emscripten_throw },
    { "env", "setTempRet0", "(param i32)", emscripten_set_upper },
    { "env", "getTempRet0", "(result i32)", emscripten_get_upper },
    { WASI_MODULE, "fd_seek", "(param i32 i32 i32 i32 i32) (result i32)", emscripten_seek },
    { WASI_MODULE, "clock_time_get", "(param i32 i32 i32 i32) (result i32)", emscripten_clock },
    { "env", "emscripten_memcpy_big", "(param i32 i32 i32)", emscripten_copy },
    { "env", "emscripten_memcpy_big", "(param i32 i32 i32) (result i32)", emscripten_copy },
    { "env", "emscripten_memcpy_js", "(param i32 i32 i32)", emscripten_copy },
    { "env", "_emscripten_memcpy_js", "(param i32 i32 i32)", emscripten_copy },
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
    { "", "__wbg_new_", "(result i32)", bindgen_new_number },
    { "", "__wbg_new_", "(result externref)", bindgen_new_reference },
    { "", "__wbg_stack_", "(param i32 i32)", bindgen_stack },
    { "", "__wbg_stack_", "(param i32 externref)", bindgen_stack },
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
