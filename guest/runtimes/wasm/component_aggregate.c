/* See component_aggregate.h. A group is a value of a component: its state. */
#include "wasm/component_aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/component_parts.h"
#include "wasm/component_value.h"
#include "wasm/module.h"
#include "wasm/wasmtime_failure.h"

#define NUMBER_BYTES 8 /* of a state that is a number, as another VM gets it */

struct component_aggregate {
    wasmtime_context *context;
    struct component_parts parts;
    struct builder builder; /* builds values that are structs or lists, */
    struct column column;   /* and this is their column */
};

static const struct component_states no_states = { .count = 0 };

static bool call(const struct component_aggregate *aggregate, const struct component_part *part,
                 const struct component_states *states, const struct column *columns, int64_t row,
                 wasmtime_component_val *result)
{
    return component_function_call(&part->function, aggregate->context, states, columns, row,
                                   result);
}

/* Deletes a state. A resource that a function consumed is not in the component any more. */
static void delete_state(const struct component_aggregate *aggregate, wasmtime_component_val *state,
                         bool consumed)
{
    if (state->kind == COMPONENT_RESOURCE && !consumed) {
        wasmtime_error *error = wasmtime.wasmtime_component_resource_any_drop(aggregate->context,
                                                                              state->of.resource);
        if (error) /* of the resource's destructor, after the group's value is there */
            wasmtime.wasmtime_error_delete(error);
    }
    wasmtime.wasmtime_component_val_delete(state);
    *state = (wasmtime_component_val){ .kind = COMPONENT_BOOL };
}

/* Returns a group with a state. */
static wasmtime_component_val *group_new(const wasmtime_component_val *state)
{
    wasmtime_component_val *group = malloc(sizeof *group);
    if (!group)
        abort();
    *group = *state;
    return group;
}

static void *begin(void *context)
{
    const struct component_aggregate *aggregate = context;
    wasmtime_component_val state;
    return call(aggregate, &aggregate->parts.parts[PART_INIT], &no_states, NULL, 0, &state)
               ? group_new(&state)
               : NULL;
}

/* Calls a part that changes the state. */
static bool update(const struct component_aggregate *aggregate, const struct component_part *part,
                   const struct component_states *states, wasmtime_component_val *group,
                   const struct column *columns, int64_t row)
{
    wasmtime_component_val result;
    if (!call(aggregate, part, states, columns, row, &result))
        return false;
    if (part->returns_state) {
        delete_state(aggregate, group, part->consumes[0]);
        *group = result;
    }
    return true;
}

static int64_t take(void *context, void *group, const struct column *columns, int64_t first,
                    int64_t end, bool inverse)
{
    const struct component_aggregate *aggregate = context;
    const struct component_states states = { 1, { group } };
    const struct component_part *part = &aggregate->parts.parts[inverse ? PART_INVERSE : PART_STEP];
    for (int64_t row = first; row < end; row++)
        if (!update(aggregate, part, &states, group, columns, row))
            return row;
    return end;
}

static bool value(void *context, void *group, struct block *block, struct column *column)
{
    struct component_aggregate *aggregate = context;
    struct component_part *finish = &aggregate->parts.parts[PART_FINISH];
    const struct component_states states = { 1, { group } };
    wasmtime_component_val result;
    if (!call(aggregate, finish, &states, NULL, 0, &result))
        return false;
    builder_clear(&aggregate->builder);
    const bool done = block ? component_function_put(&finish->function, &result, block, 0)
                            : component_function_append(&finish->function, &result,
                                                        &aggregate->builder);
    wasmtime.wasmtime_component_val_delete(&result);
    if (done && !block) {
        builder_column(&aggregate->builder, &aggregate->column);
        *column = aggregate->column;
    }
    return done;
}

static bool save(void *context, void *group, struct scalar *state)
{
    struct component_aggregate *aggregate = context;
    struct component_part *part = &aggregate->parts.parts[PART_SAVE];
    const struct component_states states = { 1, { group } };
    wasmtime_component_val result;
    if (!part->found) {
        *state = (struct scalar){ .bytes = (const char *)&((wasmtime_component_val *)group)->of,
                                  .length = NUMBER_BYTES };
        return true;
    }
    if (!call(aggregate, part, &states, NULL, 0, &result))
        return false;
    const wasmtime_component_val *bytes = component_function_ok(&part->function.result, &result);
    if (bytes)
        *state = component_value_scalar(&part->function.result, bytes, &part->function.made);
    wasmtime.wasmtime_component_val_delete(&result);
    return bytes != NULL;
}

static void *restore(void *context, const struct scalar *state)
{
    const struct component_aggregate *aggregate = context;
    const struct component_part *part = &aggregate->parts.parts[PART_LOAD];
    wasmtime_component_val made = { .kind = aggregate->parts.number };
    if (!part->found) {
        if (state->length != NUMBER_BYTES) {
            failure_set("ValueError", "a state of another aggregate came to be merged");
            return NULL;
        }
        memcpy(&made.of, state->bytes, NUMBER_BYTES);
        return group_new(&made);
    }
    const int32_t offsets[2] = { 0, (int32_t)state->length };
    const struct column column = { .storage = STORAGE_BYTES32,
                                   .data = (const uint8_t *)state->bytes,
                                   .offsets = offsets };
    return call(aggregate, part, &no_states, &column, 0, &made) ? group_new(&made) : NULL;
}

static bool merge(void *context, void *group, void *other)
{
    const struct component_aggregate *aggregate = context;
    const struct component_part *part = &aggregate->parts.parts[PART_MERGE];
    const struct component_states states = { 2, { group, other } };
    if (!update(aggregate, part, &states, group, NULL, 0))
        return false;
    if (part->consumes[1])
        delete_state(aggregate, other, true);
    return true;
}

static void end(void *context, void *group)
{
    delete_state(context, group, false);
    free(group);
}

bool component_aggregate_prepare(struct program *program, const char *name,
                                 wasmtime_component *compiled, const struct settings *settings,
                                 struct signature *found)
{
    static const struct aggregate operations = { begin, take, value, save, restore, merge, end };
    wasmtime_component_instance instance;
    struct component_aggregate *aggregate = calloc(1, sizeof *aggregate);
    if (!aggregate)
        abort();
    struct component_parts *parts = &aggregate->parts;
    wasmtime_store *store = module_store();
    aggregate->context = wasmtime.wasmtime_store_context(store);
    if (!component_parts_find(parts, compiled, name) ||
        !component_instantiate(compiled, aggregate->context, settings, &instance) ||
        !component_parts_bind(parts, &instance, aggregate->context)) {
        component_parts_clear(parts);
        free(aggregate);
        wasmtime.wasmtime_store_delete(store);
        wasmtime.wasmtime_component_delete(compiled);
        return false;
    }
    *found = parts->signature;
    static const struct type none = { .storage = STORAGE_BOOL };
    const struct type *type = found->result.type ? found->result.type : &none;
    aggregate->builder = builder_new(type);
    aggregate->column = type_column(type);
    program->aggregate = &operations;
    program->has_inverse = parts->parts[PART_INVERSE].found;
    program->has_merge = parts->parts[PART_MERGE].found;
    program->context = aggregate;
    return true;
}
