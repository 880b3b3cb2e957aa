/* See module_aggregate.h. */
#include "wasm/module_aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/aggregate_parts.h"
#include "wasm/number_loop.h"

struct module_aggregate {
    struct wasm_module module;
    struct aggregate_parts parts;
    struct builder builder; /* builds values that are structs, */
    struct column column;   /* and this is their column */
};

/* ---- Groups: each is a wasmtime_val, its state ---- */

/* Replaces a state by one that a part returned. Objects of AssemblyScript are kept meanwhile. */
static bool replace(const struct part *part, wasmtime_val *state, const wasmtime_val *by)
{
    const struct module_memory *memory = &part->exported.memory;
    const bool object = memory->form == MEMORY_SCRIPT && state->kind == WASM_I32;
    const wasmtime_val before = *state;
    if (!part->returns_state)
        return true;
    *state = *by;
    return !object || before.of.i32 == by->of.i32 ||
           (module_memory_keep(memory, (uint32_t)by->of.i32) &&
            module_memory_release(memory, (uint32_t)before.of.i32, 0));
}

/* Returns a group with a state; NULL with a failure. */
static wasmtime_val *group_new(const struct module_aggregate *aggregate, const wasmtime_val *state)
{
    const struct module_memory *memory = &aggregate->parts.init.exported.memory;
    if (memory->form == MEMORY_SCRIPT && state->kind == WASM_I32 &&
        !module_memory_keep(memory, (uint32_t)state->of.i32))
        return NULL;
    wasmtime_val *group = malloc(sizeof *group);
    if (!group)
        abort();
    *group = *state;
    return group;
}

static void *begin(void *context)
{
    const struct module_aggregate *aggregate = context;
    struct export_call call;
    return export_call_run(&aggregate->parts.init.exported, &call, &no_states, NULL, 0)
               ? group_new(aggregate, &call.results[0])
               : NULL;
}

static int64_t take(void *context, void *group, const struct column *columns, int64_t first,
                    int64_t end, bool inverse)
{
    const struct module_aggregate *aggregate = context;
    const struct part *part = inverse ? &aggregate->parts.inverse : &aggregate->parts.step;
    const struct states states = { 1, { group } };
    struct export_call call;
    for (int64_t row = first; row < end; row++)
        if (!export_call_run(&part->exported, &call, &states, columns, row) ||
            !export_call_end(&part->exported, &call) || !replace(part, group, &call.results[0]))
            return row;
    return end;
}

static bool value(void *context, void *group, struct block *block, struct column *column)
{
    struct module_aggregate *aggregate = context;
    struct exported *finish = &aggregate->parts.finish.exported;
    const struct states states = { 1, { group } };
    struct export_call call;
    struct scalar scalar;
    if (!export_call_run(finish, &call, &states, NULL, 0))
        return false;
    if (block)
        return export_call_take(finish, &call, block->storage, &scalar) &&
               (block_put(block, 0, &scalar) ||
                failure_set("OverflowError", "the group's value is too large")) &&
               export_call_end(finish, &call);
    builder_clear(&aggregate->builder);
    if (!export_call_append(finish, &call, &aggregate->builder))
        return false;
    builder_column(&aggregate->builder, &aggregate->column);
    *column = aggregate->column;
    return export_call_end(finish, &call);
}

/* What fails here fails after the group's value is there. */
static void end(void *context, void *group)
{
    const struct module_aggregate *aggregate = context;
    const struct module_memory *memory = &aggregate->parts.init.exported.memory;
    const wasmtime_val *state = group;
    const struct states states = { 1, { group } };
    struct export_call call;
    if (aggregate->parts.free.found)
        export_call_run(&aggregate->parts.free.exported, &call, &states, NULL, 0);
    if (memory->form == MEMORY_SCRIPT && state->kind == WASM_I32)
        module_memory_release(memory, (uint32_t)state->of.i32, 0);
    free(group);
}

/* ---- Groups of other VMs ---- */

static size_t state_width(const struct module_aggregate *aggregate)
{
    return aggregate->parts.state == WASM_V128 ? VECTOR_BYTES
                                               : number_kinds[aggregate->parts.state].width;
}

static bool save(void *context, void *group, struct scalar *state)
{
    struct module_aggregate *aggregate = context;
    struct exported *exported = &aggregate->parts.save.exported;
    const struct states states = { 1, { group } };
    struct export_call call;
    if (aggregate->parts.save.found)
        return export_call_run(exported, &call, &states, NULL, 0) &&
               export_call_take(exported, &call, STORAGE_BYTES32, state) &&
               export_call_end(exported, &call);
    *state = (struct scalar){ .bytes = (const char *)&((const wasmtime_val *)group)->of,
                              .length = state_width(aggregate) };
    return true;
}

static void *restore(void *context, const struct scalar *state)
{
    const struct module_aggregate *aggregate = context;
    const struct exported *exported = &aggregate->parts.load.exported;
    struct export_call call;
    wasmtime_val made = { .kind = (uint8_t)aggregate->parts.state };
    if (!aggregate->parts.load.found) {
        if (state->length != state_width(aggregate)) {
            failure_set("ValueError", "a state of another aggregate came to be merged");
            return NULL;
        }
        memcpy(&made.of, state->bytes, state->length);
        return group_new(aggregate, &made);
    }
    const int32_t offsets[2] = { 0, (int32_t)state->length };
    const struct column column = { .storage = STORAGE_BYTES32,
                                   .data = (const uint8_t *)state->bytes,
                                   .offsets = offsets };
    if (!export_call_run(exported, &call, &no_states, &column, 0))
        return NULL;
    void *group = group_new(aggregate, &call.results[0]);
    return group && export_call_end(exported, &call) ? group : NULL;
}

static bool merge(void *context, void *group, void *other)
{
    const struct part *part = &((const struct module_aggregate *)context)->parts.merge;
    const struct states states = { 2, { group, other } };
    struct export_call call;
    return export_call_run(&part->exported, &call, &states, NULL, 0) &&
           replace(part, group, &call.results[0]);
}

/* ---- Loading ---- */

bool module_aggregate_prepare(struct program *program, const struct load *load,
                              const struct wasm_module *module, struct signature *found)
{
    static const struct aggregate operations = { begin, take, value, save, restore, merge, end };
    struct module_aggregate *aggregate = calloc(1, sizeof *aggregate);
    if (!aggregate)
        abort();
    aggregate->module = *module;
    struct aggregate_parts *parts = &aggregate->parts;
    bool done = aggregate_parts_find(parts, module->module, load->name) &&
                aggregate_parts_bind(parts, module, load->name);
    if (done && load->declared)
        *found = load->signature;
    else if (done)
        aggregate_parts_describe(parts, found);
    if (!done || !aggregate_parts_plan(parts, load->name, found)) {
        free(aggregate);
        return false;
    }
    if (found->result.type) {
        aggregate->builder = builder_new(found->result.type);
        aggregate->column = type_column(found->result.type);
    }
    program->aggregate = &operations;
    program->has_inverse = parts->inverse.found;
    program->has_merge = parts->merge.found;
    program->context = aggregate;
    return true;
}
