/* Exported functions over numbers. */
#ifndef UDFVM_WASM_NUMBERS_H
#define UDFVM_WASM_NUMBERS_H

#include "wasm/module.h"

/* Prepares the export `load->name` of an instance, which it takes over. *found: the signature that
 * was declared, or that of the function's type. false with a failure. */
bool numbers_prepare(struct program *program, const struct load *load,
                     const struct wasm_module *module, struct signature *found);

#endif
