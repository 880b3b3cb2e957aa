/* WASI preview 1: the imports of modules that were compiled for an operating system. */
#ifndef UDFVM_WASM_WASI_H
#define UDFVM_WASM_WASI_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

#define WASI_MODULE "wasi_snapshot_preview1"
enum { WASI_FAULT = 21, WASI_INVALID = 28, WASI_NO_SEEK = 70 }; /* errno of preview 1 */

/* The input and output of a command. */
struct wasi_streams {
    const uint8_t *input;
    size_t input_length;
    struct {
        char *bytes; /* the caller frees it */
        size_t length, capacity;
    } output;
};

bool wasi_is_imported(const wasmtime_module *module);
/* Returns true for the name of the module that WASI's functions are imported from. */
bool wasi_is_module(const wasm_bytes *name);
/* Defines the functions. Returns false with a failure. */
bool wasi_define(wasmtime_linker *linker);
/* Gives a store arguments, environment, files and streams. Without streams there is no input,
 * and output goes to the log. Standard error always goes to the log, and its end is kept
 * (standard_error.h). Returns false with a failure. */
bool wasi_configure(wasmtime_context *context, const struct settings *settings,
                    struct wasi_streams *streams);

#endif
