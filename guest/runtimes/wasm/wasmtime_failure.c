/* See wasmtime_failure.h. */
#include "wasm/wasmtime_failure.h"

#include <string.h>

#include "shared/compiled/demangle.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/libraries.h"
#include "wasm/standard_error.h"

#define MAX_FRAMES 32
/* Bytes of a function's name. The traceback has capacity for all frames and for the message. */
#define MAX_NAME_SHOWN 256
#define TRAP_PREFIX    "wasm trap: "
/* How wasmtime begins the message of an error in a function of the runtime, and what comes before
 * that function's own words. */
#define BACKTRACE "error while executing at wasm backtrace:"
#define CAUSE     "\n\nCaused by:\n    "

static bool is_of_runtime(const wasm_frame *frame)
{
    const wasm_bytes *module = wasmtime.wasmtime_frame_module_name(frame);
    return module && module->size == strlen(RUNTIME_MODULE) &&
           memcmp(module->data, RUNTIME_MODULE, module->size) == 0;
}

/* Returns true for a frame of the libraries of C++ and Rust, which are part of the module. */
static bool is_of_library(const wasm_frame *frame)
{
    char readable[MAX_NAME_SHOWN + 1];
    const wasm_bytes *name = wasmtime.wasmtime_frame_func_name(frame);
    if (!name)
        return false;
    demangle(name->data, name->size, readable, sizeof readable);
    return is_library_function(readable, strlen(readable));
}

static void trace_frame(size_t number, const wasm_frame *frame)
{
    const wasm_bytes *name = wasmtime.wasmtime_frame_func_name(frame);
    failure_trace("\n  #%zu ", number);
    char readable[MAX_NAME_SHOWN + 1];
    if (name)
        demangle(name->data, name->size, readable, sizeof readable);
    if (name)
        failure_trace("%s", readable);
    else
        failure_trace("function %u", wasmtime.wasm_frame_func_index(frame));
    failure_trace(" (offset 0x%zx of the module)", wasmtime.wasm_frame_module_offset(frame));
}

/* Adds frames of [first, end) until MAX_FRAMES are there; returns how many are. */
static size_t trace_part(const wasm_frames *frames, size_t first, size_t end, size_t shown)
{
    for (size_t i = first; i < end && shown <= MAX_FRAMES; i++) {
        if (is_of_runtime(frames->data[i]))
            continue;
        if (shown == MAX_FRAMES)
            failure_trace("\n  ...");
        else
            trace_frame(shown, frames->data[i]);
        shown++;
    }
    return shown;
}

static void trace(const wasm_frames *frames)
{
    size_t own = 0;
    while (own < frames->size &&
           (is_of_runtime(frames->data[own]) || is_of_library(frames->data[own])))
        own++;
    if (own == frames->size)
        own = 0;
    size_t known = 0;
    while (known < frames->size && is_of_runtime(frames->data[known]))
        known++;
    if (known < frames->size)
        failure_trace("Backtrace, innermost first:");
    const size_t shown = trace_part(frames, own, frames->size, 0);
    if (known < own && shown < MAX_FRAMES)
        failure_trace("\nIn libraries that #0 called, innermost first:");
    trace_part(frames, 0, own, shown);
    standard_error_trace(shown > 0 ? "\n" : "");
}

/* Returns the length of a message without line feeds at its end, limited to what a failure
 * holds. */
static int printable(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == 0))
        length--;
    return length > 1800 ? 1800 : (int)length;
}

/* Returns the text behind wasmtime's own backtrace, if the message begins with one: what a
 * function of the runtime said, on one line. */
static const char *behind_backtrace(const char *text, size_t *length)
{
    const char *cause = *length > strlen(BACKTRACE) &&
                                memcmp(text, BACKTRACE, strlen(BACKTRACE)) == 0
                            ? memmem(text, *length, CAUSE, strlen(CAUSE))
                            : NULL;
    if (!cause)
        return text;
    cause += strlen(CAUSE);
    *length -= (size_t)(cause - text);
    return cause;
}

#define SHARED_MEMORY                                                                       \
    "the module has a shared memory, which is for threads: compile it without threads (no " \
    "-pthread, no --shared-memory)"

/* Errors of wasmtime that speak of its own settings, in words for users. */
static const struct {
    const char *part, *message;
} reworded[] = {
    { "Config::shared_memory", SHARED_MEMORY },
    { "shared memories must be created", SHARED_MEMORY },
};

static const char *reword(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof reworded / sizeof *reworded; i++)
        if (memmem(text, length, reworded[i].part, strlen(reworded[i].part)))
            return reworded[i].message;
    return NULL;
}

/* Sets the failure. The text of a trap follows a prefix, after wasmtime's own backtrace. A
 * message without the prefix gets the given type. */
static void set_text(const char *type, const wasm_bytes *message)
{
    size_t length = strnlen(message->data, message->size);
    const char *cause = memmem(message->data, length, TRAP_PREFIX, strlen(TRAP_PREFIX));
    if (!cause) {
        const char *text = behind_backtrace(message->data, &length);
        const char *other = reword(text, length);
        failure_set(type, "%.*s", other ? (int)strlen(other) : printable(text, length),
                    other ? other : text);
        return;
    }
    cause += strlen(TRAP_PREFIX);
    const char *line = memchr(cause, '\n', length - (size_t)(cause - message->data));
    const size_t left = line ? (size_t)(line - cause) : length - (size_t)(cause - message->data);
    failure_set("Trap", "%.*s", printable(cause, left), cause);
}

static void set_trap(const wasm_trap *trap)
{
    wasm_bytes message;
    wasm_frames frames;
    wasmtime.wasm_trap_message(trap, &message);
    set_text("Trap", &message);
    wasmtime.wasm_byte_vec_delete(&message);
    wasmtime.wasm_trap_trace(trap, &frames);
    trace(&frames);
    wasmtime.wasm_frame_vec_delete(&frames);
}

static void set_error(const char *type, const wasmtime_error *error)
{
    wasm_bytes message;
    wasm_frames frames;
    int status;
    if (wasmtime.wasmtime_error_exit_status(error, &status)) {
        failure_set("SystemExit", "the module ended itself with exit status %d", status);
    } else {
        wasmtime.wasmtime_error_message(error, &message);
        set_text(type, &message);
        wasmtime.wasm_byte_vec_delete(&message);
    }
    wasmtime.wasmtime_error_wasm_trace(error, &frames);
    trace(&frames);
    wasmtime.wasm_frame_vec_delete(&frames);
}

bool wasmtime_failed(const char *type, wasmtime_error *error, wasm_trap *trap)
{
    if (trap) {
        set_trap(trap);
        wasmtime.wasm_trap_delete(trap);
    }
    if (error) {
        set_error(type, error);
        wasmtime.wasmtime_error_delete(error);
    }
    return error || trap;
}

wasm_trap *trap_of(struct bytes *message)
{
    wasm_trap *trap = wasmtime.wasmtime_trap_new((const char *)message->at, message->length);
    bytes_free(message);
    return trap;
}
