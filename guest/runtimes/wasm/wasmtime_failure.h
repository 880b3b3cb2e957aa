/* Errors and traps of wasmtime as failures. */
#ifndef UDFVM_WASM_WASMTIME_FAILURE_H
#define UDFVM_WASM_WASMTIME_FAILURE_H

#include "shared/compiled/bytes.h"
#include "wasm/wasmtime.h"

/* The name of modules that the runtime makes. Backtraces omit their frames. */
#define RUNTIME_MODULE "udfvm"

/* Takes an error, a trap or neither, and frees it. Returns true if there was one, and sets it as
 * the failure, with the end of standard error (standard_error.h). `type` is the failure's type
 * for an error that is no trap. */
bool wasmtime_failed(const char *type, wasmtime_error *error, wasm_trap *trap);

/* Makes a trap of a message, and frees the message. */
wasm_trap *trap_of(struct bytes *message);

#endif
