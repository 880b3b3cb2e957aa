/* See backtrace.h. */
#include "shared/compiled/backtrace.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/libraries.h"
#include "shared/compiled/objects.h"
#include "shared/compiled/symbols.h"
#include "shared/compiled/unwind.h"

#define MAX_FRAMES         32
#define MAX_LIBRARY_FRAMES 64 /* a panic of Rust has some twenty */

extern char __executable_start[], etext[]; /* of this program, from the linker */

static void describe(const struct unwind_frame *frame, char *text, size_t size)
{
    const uint64_t address = frame->registers[UNWIND_RIP];
    symbol_describe(frame->exact ? address : address - 1, text,
                    size); /* a return address may be past the end of its function */
}

static void trace_frame(size_t number, const struct unwind_frame *frame)
{
    char text[512];
    describe(frame, text, sizeof text);
    failure_trace("\n  #%zu 0x%llx %s", number, (unsigned long long)frame->registers[UNWIND_RIP],
                  text);
}

/* Returns true for a frame of this program. */
static bool is_of_runtime(const struct unwind_frame *frame)
{
    const uint64_t address = frame->registers[UNWIND_RIP];
    return address >= (uint64_t)__executable_start && address < (uint64_t)etext;
}

/* Returns true for a frame of a library that functions call, which may be part of their object. */
static bool is_of_library(const struct unwind_frame *frame)
{
    char text[512];
    struct object object;
    if (object_at(frame->registers[UNWIND_RIP], &object) && is_library_file(object.path))
        return true;
    describe(frame, text, sizeof text);
    const char *offset = NULL;
    for (const char *at = text; (at = strstr(at, "+0x")) != NULL; at++)
        offset = at;
    return is_library_function(text, offset ? (size_t)(offset - text) : strlen(text));
}

/* Moves to the first frame of the function, and returns how many others it called. Where there is
 * none, it stays: 0. */
static size_t skip_libraries(struct unwind_frame *frame)
{
    struct unwind_frame at = *frame;
    for (size_t skipped = 0; skipped < MAX_LIBRARY_FRAMES; skipped++) {
        if (!is_of_runtime(&at) && !is_of_library(&at)) {
            *frame = at;
            return skipped;
        }
        if (!unwind_step(&at))
            break;
    }
    return 0;
}

/* Up to a frame of this program that called the function, which nothing of interest called. Frames
 * of this program may come before the function's. */
static size_t trace_callers(struct unwind_frame frame)
{
    size_t number = 0;
    bool in_function = false;
    do {
        in_function |= !is_of_runtime(&frame) && !is_of_library(&frame);
        trace_frame(number++, &frame);
    } while (number < MAX_FRAMES && unwind_step(&frame) && !(in_function && is_of_runtime(&frame)));
    if (number == MAX_FRAMES)
        failure_trace("\n  ...");
    return number;
}

void backtrace_trace(const greg_t *values)
{
    static const int numbers[UNWIND_REGISTERS] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI,
                                                   REG_RDI, REG_RBP, REG_RSP, REG_R8,  REG_R9,
                                                   REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
                                                   REG_R15, REG_RIP };
    struct unwind_frame innermost = { .exact = true };
    for (size_t i = 0; i < UNWIND_REGISTERS; i++)
        innermost.registers[i] = (uint64_t)values[numbers[i]];
    objects_read();
    struct unwind_frame frame = innermost;
    const size_t skipped = skip_libraries(&frame);
    failure_trace("Backtrace, innermost first:");
    size_t number = trace_callers(frame);
    if (skipped)
        failure_trace("\nIn libraries that #0 called, innermost first:");
    for (size_t i = 0; i < skipped; i++) {
        trace_frame(number++, &innermost);
        unwind_step(&innermost);
    }
}
