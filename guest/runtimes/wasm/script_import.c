/* See script_import.h. */
#include "wasm/script_import.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "wasm/caller_memory.h"
#include "wasm/standard_error.h"
#include "wasm/wasmtime_failure.h"

#define MAX_MESSAGE 1600 /* bytes of what a module says of its end */

/* Appends the text of an object of AssemblyScript; "?" for one that is none, or is
 * longer than a limit. */
static void write_object(const struct linear *linear, int32_t address, size_t limit,
                         struct bytes *to)
{
    uint32_t length;
    const uint8_t *text = script_object(linear, (uint32_t)address, &length);
    if (address != 0 && text && length <= limit)
        utf16_to_utf8(text, length, to);
    else
        bytes_text(to, "?");
}

wasm_trap *script_abort(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                        size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    const struct linear linear = caller_memory(caller);
    struct bytes message = { 0 };
    char place[48];
    bytes_text(&message, "the module aborted: ");
    write_object(&linear, arguments[0].of.i32, MAX_MESSAGE, &message);
    bytes_text(&message, ", in ");
    write_object(&linear, arguments[1].of.i32, MAX_MESSAGE, &message);
    snprintf(place, sizeof place, ":%d:%d", arguments[2].of.i32, arguments[3].of.i32);
    bytes_text(&message, place);
    return trap_of(&message);
}

/* The guest kernel's random numbers are new in every call. */
wasm_trap *script_seed(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                       size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits = 0;
    results[0] = (wasmtime_val){ .kind = WASM_F64, .of.f64 = (double)(bits >> 11) };
    return NULL;
}

static wasm_trap *print_object(FILE *stream, wasmtime_caller *caller, const wasmtime_val *object)
{
    const struct linear linear = caller_memory(caller);
    struct bytes line = { 0 };
    write_object(&linear, object->of.i32, SIZE_MAX, &line);
    standard_print(stream, &line);
    return NULL;
}

wasm_trap *script_print(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                        size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    return print_object(stdout, caller, arguments);
}

wasm_trap *script_print_error(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    return print_object(stderr, caller, arguments);
}

wasm_trap *script_trace(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                        size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)results, (void)result_count;
    const struct linear linear = caller_memory(caller);
    struct bytes line = { 0 };
    char number[32];
    bytes_text(&line, "trace: ");
    write_object(&linear, arguments[0].of.i32, SIZE_MAX, &line);
    for (size_t i = 2; i < argument_count && (int64_t)i - 2 < arguments[1].of.i32; i++) {
        snprintf(number, sizeof number, "%s%.17g", i > 2 ? ", " : " ", arguments[i].of.f64);
        bytes_text(&line, number);
    }
    standard_print(stderr, &line);
    return NULL;
}
