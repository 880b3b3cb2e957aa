/* WASI preview 1: what modules import that were compiled for an operating system. */
#ifndef UDFVM_WASM_WASI_H
#define UDFVM_WASM_WASI_H

#include "settings.h"
#include "wasmtime.h"

struct wasi_text {                               /* what was written to a stream */
    char *bytes;                                 /* to be freed */
    size_t length, room;
};

/* What a command is given and what it writes. */
struct wasi_streams {
    const uint8_t *input;
    size_t input_length;
    struct wasi_text output, error;              /* what goes to `error` goes to the log too */
};

bool wasi_is_imported(const wasmtime_module *module);
/* Defines the functions. false with a failure. */
bool wasi_define(wasmtime_linker *linker);
/* Gives a store arguments, environment, files and streams. Without streams there is no input, and output goes to the log. false with a failure. */
bool wasi_configure(wasmtime_context *context, const struct settings *settings, struct wasi_streams *streams);

#endif
