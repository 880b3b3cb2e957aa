/* What Emscripten makes a module of C or C++ import, as its glue for JavaScript provides it. */
#ifndef UDFVM_WASM_EMSCRIPTEN_IMPORT_H
#define UDFVM_WASM_EMSCRIPTEN_IMPORT_H

#include "wasm/wasmtime.h"

/* abort() of C; __assert_fail(condition, file, line, function). */
wasmtime_callback emscripten_abort, emscripten_assert;
/* __cxa_allocate_exception(size) and __cxa_throw(exception, type, destructor), where the module
 * does not catch exceptions. */
wasmtime_callback emscripten_throw;
/* memcpy() of large blocks: to, from, length, and perhaps -> to; and growing the memory to a number
 * of bytes. */
wasmtime_callback emscripten_copy, emscripten_resize;
/* The upper half of an i64 that a function returns, which JavaScript has no type for. */
wasmtime_callback emscripten_set_upper, emscripten_get_upper;
/* Functions of WASI whose i64 are two i32: seeking, in streams that cannot; and clocks. */
wasmtime_callback emscripten_seek, emscripten_clock;

#endif
