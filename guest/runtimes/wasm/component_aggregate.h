/* Aggregates of components: exports that begin with the aggregate's name, in the world or in an
 * interface, over states of some type; or the functions of a resource, which is the state.
 *
 *   NAME-init: func() -> state           [constructor]NAME    begins a group.
 *   NAME-step: func(state, ...) -> state [method]NAME.step    takes a row.
 *   NAME-finish: func(state) -> result   [method]NAME.finish  the group's value, also where the
 *                                                             group goes on.
 *   NAME-inverse, -merge, -save, -load                        may exist, as in module_aggregate.h.
 */
#ifndef UDFVM_WASM_COMPONENT_AGGREGATE_H
#define UDFVM_WASM_COMPONENT_AGGREGATE_H

#include "wasm/settings.h"
#include "wasm/wasmtime.h"

/* Loads the aggregate, and takes over the component. Returns false with a failure. */
bool component_aggregate_prepare(struct program *program, const char *name,
                                 wasmtime_component *compiled, const struct settings *settings,
                                 struct signature *found);

#endif
