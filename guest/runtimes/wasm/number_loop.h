/* The loop over rows around an exported function of numbers.
 *
 * A call from the host into Wasm takes tens of nanoseconds, and a call from Wasm to Wasm takes a
 * few. So a second module, made for the function's type, has the loop. It reads the arguments of
 * a block of rows from its memory, calls the function, and stores the results there.
 */
#ifndef UDFVM_WASM_NUMBER_LOOP_H
#define UDFVM_WASM_NUMBER_LOOP_H

#include "wasm/module.h"

#define NUMBER_LOOP_ROWS 1024 /* rows of a block */
/* The offset in its memory of a parameter's values, which are contiguous. The result's values
 * follow those of the last parameter. */
#define NUMBER_LOOP_OFFSET(INDEX) ((size_t)(INDEX) * NUMBER_LOOP_ROWS * 8)

struct number_kind {
    const char *name;
    size_t width;
    enum storage storage;
};
extern const struct number_kind number_kinds[]; /* indexed by enum wasm_kind */

struct number_type {
    size_t count;
    enum wasm_kind result, parameters[MAX_PARAMETERS];
};

struct number_loop {
    wasmtime_context *context;
    wasmtime_func run;
    wasmtime_global row;
    wasmtime_memory memory;
};

/* Makes the loop around the export `name` of a module, whose type is given. Returns false with a
 * failure. */
bool number_loop_make(struct number_loop *loop, const struct wasm_module *module, const char *name,
                      const struct number_type *type);
uint8_t *number_loop_memory(const struct number_loop *loop);
/* Runs the first rows of a block. Returns the number of rows done; if it is less than `rows`,
 * there is a failure. */
int64_t number_loop_run(const struct number_loop *loop, int64_t rows);

#endif
