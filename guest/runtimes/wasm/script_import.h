/* What the standard library of AssemblyScript imports, as its loader for JavaScript provides it. */
#ifndef UDFVM_WASM_SCRIPT_IMPORT_H
#define UDFVM_WASM_SCRIPT_IMPORT_H

#include "wasm/wasmtime.h"

/* abort(message, file, line, column): a failed assert, an Error that is thrown. */
wasmtime_callback script_abort;
/* seed(), for Math.random(). */
wasmtime_callback script_seed;
/* console.log(text) and its like, to the standard output, and console.error(text), to the standard
 * error. */
wasmtime_callback script_print, script_print_error;
/* trace(text, count, number, ...): `count` of five numbers. */
wasmtime_callback script_trace;

#endif
