/* Errors and traps of wasmtime as failures. */
#ifndef UDFVM_WASM_WASMTIME_FAILURE_H
#define UDFVM_WASM_WASMTIME_FAILURE_H

#include "wasm/wasmtime.h"

/* The name of modules that the runtime makes: their frames are left out of backtraces. */
#define RUNTIME_MODULE "udfvm"

/* Takes an error, a trap or neither; frees them. true: there was one, which is the failure now,
 * with what the module said (standard_error.h). `type` is that of an error that is no trap. */
bool wasmtime_failed(const char *type, wasmtime_error *error, wasm_trap *trap);

#endif
