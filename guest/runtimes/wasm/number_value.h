/* Numbers of columns as numbers of WebAssembly, and back. */
#ifndef UDFVM_WASM_NUMBER_VALUE_H
#define UDFVM_WASM_NUMBER_VALUE_H

#include "shared/compiled/program.h"
#include "wasm/wasmtime.h"

/* Checks that a declared type can be passed as a number of the kind. Returns false with a failure,
 * which says that `what` does not fit. */
bool number_fits(const char *what, const struct slot *slot, enum wasm_kind kind);
/* Writes the number of a row. Returns false with a failure if it is out of range. */
bool number_put(const struct column *column, int64_t row, enum wasm_kind kind, uint8_t *to);
/* Reads a number into a value of the storage. Returns false with a failure if it is out of range.
 */
bool number_take(enum storage storage, enum wasm_kind kind, const uint8_t *from,
                 struct scalar *scalar);

#endif
