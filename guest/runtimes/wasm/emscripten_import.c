/* See emscripten_import.h. */
#include "wasm/emscripten_import.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "utf8.h"
#include "wasm/caller_memory.h"
#include "wasm/wasi.h"
#include "wasm/wasmtime_failure.h"

#define MAX_PART  500 /* bytes of each part of what a module says of its end */
#define WASM_PAGE 65536u

/* ---- Its end ---- */

wasm_trap *emscripten_abort(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                            size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    static const char message[] = "the module aborted";
    return wasmtime.wasmtime_trap_new(message, strlen(message));
}

wasm_trap *emscripten_copy(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                           size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count;
    static const char message[] = "out of bounds memory access";
    const struct linear linear = caller_memory(caller);
    const uint32_t length = (uint32_t)arguments[2].of.i32;
    uint8_t *to = linear_at(&linear, (uint32_t)arguments[0].of.i32, length);
    const uint8_t *from = linear_at(&linear, (uint32_t)arguments[1].of.i32, length);
    if (!to || !from)
        return wasmtime.wasmtime_trap_new(message, strlen(message));
    memmove(to, from, length);
    if (result_count > 0)
        results[0] = arguments[0];
    return NULL;
}

/* Returns 1, or 0 if there is no room. */
wasm_trap *emscripten_resize(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
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

wasm_trap *emscripten_assert(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
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

wasm_trap *emscripten_throw(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                            size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    static const char message[] = "the module threw an exception of C++, which nothing catches";
    return wasmtime.wasmtime_trap_new(message, strlen(message));
}

/* ---- Numbers of 64 bits ---- */

static int32_t upper;

wasm_trap *emscripten_set_upper(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                                size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)argument_count, (void)results, (void)result_count;
    upper = arguments[0].of.i32;
    return NULL;
}

wasm_trap *emscripten_get_upper(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                                size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = upper };
    return NULL;
}

/* fd_seek(stream, lower, upper, whence, to). Such a module opens files by functions of JavaScript,
 * so this is its standard input or output. */
wasm_trap *emscripten_seek(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                           size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = WASI_NO_SEEK };
    return NULL;
}

/* clock_time_get(clock, lower, upper, to): the halves are of a precision that nothing needs. */
wasm_trap *emscripten_clock(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                            size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)result_count;
    static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };
    const uint32_t clock = (uint32_t)arguments[0].of.i32;
    const struct linear linear = caller_memory(caller);
    uint8_t *to = linear_at(&linear, (uint32_t)arguments[3].of.i32, sizeof(uint64_t));
    int32_t status = to ? 0 : WASI_FAULT;
    struct timespec time;
    if (clock >= sizeof clocks / sizeof *clocks)
        status = WASI_INVALID;
    else if (to && clock_gettime(clocks[clock], &time) == 0)
        memcpy(to, &(uint64_t){ (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec },
               sizeof(uint64_t));
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = status };
    return NULL;
}
