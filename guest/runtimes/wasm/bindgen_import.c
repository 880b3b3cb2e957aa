/* See bindgen_import.h. */
#include "wasm/bindgen_import.h"

#include <stdio.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "utf8.h"
#include "wasm/caller_memory.h"
#include "wasm/standard_error.h"
#include "wasm/wasmtime_failure.h"

#define MAX_MESSAGE 1600 /* bytes of what a module says of its end */
#define DIGITS      16   /* of the hash behind the name of an import */

/* A value of JavaScript that nothing looks up: what Rust drops is numbered from 1028 on. */
#define SOME_VALUE 1048576

static const char prefix[] = "__wbg_";

/* Of which JavaScript's value was made last in this call: a NUL follows. */
static char last_text[MAX_MESSAGE + 1];

/* ---- Text ---- */

/* Returns the text of two arguments, if the module's memory has it; otherwise NULL. */
static const uint8_t *text_of(const struct linear *linear, const wasmtime_val *arguments,
                              uint32_t *length)
{
    *length = (uint32_t)arguments[1].of.i32;
    const uint8_t *text = linear_at(linear, (uint32_t)arguments[0].of.i32, *length);
    return text && utf8_is_valid(text, *length) ? text : NULL;
}

/* Returns the length of what of a text a message has, in whole characters. */
static uint32_t shown_length(const uint8_t *text, uint32_t length)
{
    if (length <= MAX_MESSAGE)
        return length;
    length = MAX_MESSAGE;
    while (length > 0 && (text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

wasm_trap *bindgen_throw(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                         size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    const struct linear linear = caller_memory(caller);
    uint32_t length;
    const uint8_t *text = text_of(&linear, arguments, &length);
    struct bytes message = { 0 };
    bytes_text(&message, "the module threw: ");
    if (text)
        bytes_put(&message, text, shown_length(text, length));
    else
        bytes_text(&message, "?");
    return trap_of(&message);
}

static void keep_text(wasmtime_caller *caller, const wasmtime_val *arguments)
{
    const struct linear linear = caller_memory(caller);
    uint32_t length;
    const uint8_t *text = text_of(&linear, arguments, &length);
    last_text[0] = 0;
    if (text) {
        length = shown_length(text, length);
        memcpy(last_text, text, length);
        last_text[length] = 0;
    }
}

wasm_trap *bindgen_number_of_text(void *data, wasmtime_caller *caller,
                                  const wasmtime_val *arguments, size_t argument_count,
                                  wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)result_count;
    keep_text(caller, arguments);
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = SOME_VALUE };
    return NULL;
}

wasm_trap *bindgen_reference_of_text(void *data, wasmtime_caller *caller,
                                     const wasmtime_val *arguments, size_t argument_count,
                                     wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)result_count;
    keep_text(caller, arguments);
    results[0] = (wasmtime_val){ .kind = WASMTIME_EXTERNREF }; /* null: nothing looks into it */
    return NULL;
}

/* ---- Where a panic was: what its hook puts behind the message ---- */

wasm_trap *bindgen_new_number(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                              size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = SOME_VALUE };
    return NULL;
}

wasm_trap *bindgen_new_reference(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                                 size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)caller, (void)arguments, (void)argument_count, (void)result_count;
    results[0] = (wasmtime_val){ .kind = WASMTIME_EXTERNREF };
    return NULL;
}

wasm_trap *bindgen_stack(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                         size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    static const uint32_t no_text[] = { 1, 0 }; /* an empty String of Rust, which owns nothing */
    const struct linear linear = caller_memory(caller);
    uint8_t *to = linear_at(&linear, (uint32_t)arguments[0].of.i32, sizeof no_text);
    if (to)
        memcpy(to, no_text, sizeof no_text);
    return NULL;
}

/* ---- Output ---- */

static wasm_trap *print(FILE *stream, wasmtime_caller *caller, const wasmtime_val *arguments)
{
    const struct linear linear = caller_memory(caller);
    uint32_t length;
    const uint8_t *text = text_of(&linear, arguments, &length);
    struct bytes line = { 0 };
    if (text)
        bytes_put(&line, text, length);
    else
        bytes_text(&line, "?");
    standard_print(stream, &line);
    return NULL;
}

wasm_trap *bindgen_print(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                         size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    return print(stdout, caller, arguments);
}

wasm_trap *bindgen_print_error(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                               size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)data, (void)argument_count, (void)results, (void)result_count;
    return print(stderr, caller, arguments);
}

/* ---- Errors ---- */

void bindgen_begin(void)
{
    last_text[0] = 0;
}

bool bindgen_fail(void)
{
    if (!last_text[0])
        return failure_set("RuntimeError", "the function returned an error without text");
    return failure_set("RuntimeError", "the function returned an error: %s", last_text);
}

/* ---- Names ---- */

size_t bindgen_own_name(const char *import, size_t length, const char **own)
{
    const size_t around = strlen(prefix) + 1 + DIGITS;
    if (length <= around || memcmp(import, prefix, strlen(prefix)) != 0 ||
        import[length - DIGITS - 1] != '_')
        return 0;
    for (size_t i = length - DIGITS; i < length; i++)
        if (!import[i] || !strchr("0123456789abcdef", import[i]))
            return 0;
    *own = import + strlen(prefix);
    return length - around;
}
