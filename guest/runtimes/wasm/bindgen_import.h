/* What wasm-bindgen makes a module of Rust import, as its glue for JavaScript provides it. */
#ifndef UDFVM_WASM_BINDGEN_IMPORT_H
#define UDFVM_WASM_BINDGEN_IMPORT_H

#include <stddef.h>

#include "shared/compiled/bytes.h"
#include "wasm/wasmtime.h"

/* __wbindgen_throw(address, length): a panic or an error of Rust. */
wasmtime_callback bindgen_throw;
/* (address, length) -> a string or an Error of JavaScript, as a number or a reference. */
wasmtime_callback bindgen_number_of_text, bindgen_reference_of_text;
/* new Error(), as a number or a reference, and its stack (to, it), which is empty: a panic's hook
 * puts that behind the message. */
wasmtime_callback bindgen_new_number, bindgen_new_reference, bindgen_stack;
/* console.log(address, length) and its like, to the standard output, and console.error(), to the
 * standard error. */
wasmtime_callback bindgen_print, bindgen_print_error;

/* Begins a call: forgets the text of which an error was made. */
void bindgen_begin(void);
/* Sets the failure of a function that returned an error: its text is the last of which something
 * was made for JavaScript. */
bool bindgen_fail(void);

/* Returns the length of the function's own name in that of an import, and where it begins:
 * "__wbg_" name "_" 16 hexadecimal digits. Returns 0 for another name. */
size_t bindgen_own_name(const char *import, size_t length, const char **own);

#endif
