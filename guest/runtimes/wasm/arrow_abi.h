/* Calls of a module for arrow-udf.
 *
 * The ABI (arrow-udf 0.9: arrow-udf/src/ffi.rs and arrow-udf-runtime/src/wasm/mod.rs): the module
 * exports `memory`, `alloc(length, align) -> address`, `dealloc(address, length, align)`, a global
 * ARROWUDF_VERSION_major_minor, and its functions, f(address, length, slice) -> status, under names
 * that encode their signatures. A function gets an Arrow IPC file, and stores the address and
 * length of its answer in the slice. If the status is 0, the answer is a file whose first column is
 * the result and whose second one, if there is one, the error of each row. Otherwise it is a
 * message. The caller deallocates both the request and the answer.
 *
 * A table function returns an iterator. record_batch_iterator_next(iterator, slice) stores files in
 * the slice: their first column (int32) is the row of the arguments, the second the result, the
 * third, if there is one, the error. Address 0 is the end. record_batch_iterator_drop(iterator)
 * ends it.
 */
#ifndef UDFVM_WASM_ARROW_ABI_H
#define UDFVM_WASM_ARROW_ABI_H

#include "wasm/arrow_file.h"
#include "shared/compiled/bytes.h"
#include "wasm/module.h"

struct arrow_module {
    struct wasm_module module;
    wasmtime_memory memory;
    wasmtime_func alloc, dealloc, function;
    struct file_format format;
    const struct signature *signature;
    struct column result; /* the column of results in the batch */
    struct bytes file;    /* a copy of the last file, for results that are structs or lists */
};

/* The slice after a call. */
struct arrow_slice {
    uint32_t address, length;
    const uint8_t *bytes; /* valid until the module runs again */
};

/* A request in the module's memory: a slice, and a file behind it. */
struct arrow_request {
    uint32_t address, length;
};

/* Finds the exports; `name` is the function's. Returns false with a failure. */
bool arrow_find(struct arrow_module *arrow, const char *name);
/* Calls a function with at most three numbers. *result may be NULL if it returns none. Returns
 * Returns false with a failure. */
bool arrow_call(const struct arrow_module *arrow, const wasmtime_func *function,
                const uint32_t *numbers, size_t count, uint32_t *result);
/* Puts the arguments into the module's memory and calls the function. Returns false with a
 * failure. */
bool arrow_ask(const struct arrow_module *arrow, const struct column *columns, int64_t rows,
               struct arrow_request *request, uint32_t *status);
/* Reads the slice of a request. With `iterator` its address is an iterator's. Returns false with
 * a failure. */
bool arrow_take(const struct arrow_module *arrow, const struct arrow_request *request,
                bool iterator, struct arrow_slice *slice);
/* Deallocates the memory of a slice or a request. Returns false with a failure. */
bool arrow_give_back(const struct arrow_module *arrow, const struct arrow_slice *slice);
bool arrow_end(const struct arrow_module *arrow, const struct arrow_request *request);
/* Sets the message of a function whose status is not 0 as the failure. */
void arrow_refused(const struct arrow_slice *slice);
/* Returns the first row of [first, end) that has an error, and sets the failure; `end` if there
 * is none. */
int64_t arrow_failed_row(const struct column *errors, int64_t first, int64_t end);
/* Returns the first row of [first, end) that is null although the declared result may not be,
 * and sets the failure; `end` if there is none. `valid` has a bit for each row that counts;
 * NULL: all rows count. */
int64_t arrow_null_row(const struct column *column, const uint8_t *valid, int64_t first,
                       int64_t end);
/* Returns true if all texts of a column and its nested columns are valid UTF-8. Returns false
 * with a failure. */
bool arrow_texts_valid(const struct column *column, int64_t rows);

#endif
