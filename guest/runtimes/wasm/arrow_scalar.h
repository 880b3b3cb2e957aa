/* Scalar functions of modules for arrow-udf. */
#ifndef UDFVM_WASM_ARROW_SCALAR_H
#define UDFVM_WASM_ARROW_SCALAR_H

#include "wasm/arrow_abi.h"

/* Fills in run or run_nested, and context, for a function that was found, which it takes over. */
void arrow_scalar_prepare(struct program *program, const struct arrow_module *arrow,
                          const struct signature *found);

#endif
