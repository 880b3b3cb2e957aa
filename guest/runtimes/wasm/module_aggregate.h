/* Aggregates of modules: exports that begin with the aggregate's name.
 *
 *   NAME_init() -> state          begins a group. The state is a number, such as an address.
 *   NAME_step(state, ...)         takes a row. It may return the state, for what comes next.
 *   NAME_finish(state) -> result  the group's value, also where the group goes on.
 *   NAME_inverse(state, ...)      may exist: takes a row out again.
 *   NAME_merge(state, other)      may exist: adds another group.
 *   NAME_save(state) -> bytes, NAME_load(bytes) -> state
 *                                 carry a state that is an address to another VM, for merge.
 *   NAME_free(state)              may exist: the group ends.
 */
#ifndef UDFVM_WASM_MODULE_AGGREGATE_H
#define UDFVM_WASM_MODULE_AGGREGATE_H

#include "wasm/export_type.h"

/* Loads the aggregate, and takes over the module. Returns false with a failure. */
bool module_aggregate_prepare(struct program *program, const struct load *load,
                              const struct wasm_module *module, struct signature *found);

#endif
