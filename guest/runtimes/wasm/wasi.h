/* WASI preview 1: what modules import that were compiled for an operating system. */
#ifndef UDFVM_WASM_WASI_H
#define UDFVM_WASM_WASI_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

/* What a command is given and what it writes. */
struct wasi_streams {
    const uint8_t *input;
    size_t input_length;
    struct {
        char *bytes; /* to be freed */
        size_t length, capacity;
    } output;
};

bool wasi_is_imported(const wasmtime_module *module);
/* Defines the functions. false with a failure. */
bool wasi_define(wasmtime_linker *linker);
/* Gives a store arguments, environment, files and streams. Without streams there is no input, and
 * output goes to the log, as what is written to the standard error does in any case; the end of
 * that is kept too (standard_error.h). false with a failure. */
bool wasi_configure(wasmtime_context *context, const struct settings *settings,
                    struct wasi_streams *streams);

#endif
