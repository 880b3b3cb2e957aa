/* Exported functions over numbers. */
#ifndef UDFVM_WASM_NUMBERS_H
#define UDFVM_WASM_NUMBERS_H

#include "wasm/module.h"

/* Prepares the export `load->name` of an instance, and takes the instance over. *found is the
 * declared signature, or that of the function's type. Returns false with a failure. */
bool numbers_prepare(struct program *program, const struct load *load,
                     const struct wasm_module *module, struct signature *found);

#endif
