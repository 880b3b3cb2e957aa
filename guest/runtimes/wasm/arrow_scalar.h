/* Scalar functions of modules for arrow-udf. */
#ifndef UDFVM_WASM_ARROW_SCALAR_H
#define UDFVM_WASM_ARROW_SCALAR_H

#include "wasm/arrow_abi.h"

/* Sets run or run_nested, and context. It takes over the function, which arrow_find() found. */
void arrow_scalar_prepare(struct program *program, const struct arrow_module *arrow,
                          const struct signature *found);

#endif
