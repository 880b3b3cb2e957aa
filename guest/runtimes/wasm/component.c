/* See component.h. */
#include "wasm/component.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"
#include "wasm/component_function.h"
#include "wasm/interface.h"
#include "wasm/module.h"

struct component {
    wasmtime_context *context;
    struct component_function function;
    struct builder builder; /* builds results that are structs or lists, */
    struct column column;   /* and this is their column */
};

bool component_is(const uint8_t *code, size_t length)
{
    static const uint8_t binary[] = { 0, 'a', 's', 'm', 13, 0, 1, 0 };
    size_t start = 0;
    if (length >= sizeof binary && memcmp(code, binary, sizeof binary) == 0)
        return true;
    while (start < length && (code[start] == ' ' || code[start] == '\n' || code[start] == '\t' ||
                              code[start] == '\r'))
        start++;
    return length - start > strlen("(component") &&
           memcmp(code + start, "(component", strlen("(component")) == 0;
}

/* ---- Finding the function ---- */

static bool take_type(const wasmtime_component_functype *type, struct component_function *function,
                      struct signature *found)
{
    return component_function_parameters(type, 0, function, found) &&
           component_function_result(type, function, found);
}

bool component_signature(const wasmtime_component_functype *type, struct signature *found)
{
    struct component_function function = { .count = 0 };
    memset(found, 0, sizeof *found);
    const bool taken = take_type(type, &function, found);
    component_function_clear(&function);
    return taken;
}

static bool find(struct component *component, const wasmtime_component *compiled,
                 const wasmtime_component_instance *instance, const char *name,
                 struct signature *found)
{
    struct component_function *function = &component->function;
    if (!component_function_find(instance, component->context, name, &function->function)) {
        component_fail_no_export(compiled, engine_used(), name);
        return false;
    }
    wasmtime_component_functype *type = wasmtime.wasmtime_component_func_type(&function->function,
                                                                              component->context);
    const bool taken = take_type(type, function, found);
    wasmtime.wasmtime_component_func_type_delete(type);
    return taken;
}

/* ---- Calls ---- */

static const struct component_states no_states = { .count = 0 };

static bool run_row(void *context, const struct column *columns, struct block *block, int64_t row)
{
    struct component *component = context;
    wasmtime_component_val result;
    if (!component_function_call(&component->function, component->context, &no_states, columns, row,
                                 &result))
        return false;
    const bool done = component_function_put(&component->function, &result, block, row);
    wasmtime.wasmtime_component_val_delete(&result);
    return done;
}

static int64_t run_component(void *context, const struct column *columns, struct block *block,
                             int64_t rows, bool skips)
{
    return rows_each(run_row, context, columns, block, rows, skips);
}

static bool append_row(struct component *component, const struct column *columns, int64_t row)
{
    wasmtime_component_val result;
    if (!component_function_call(&component->function, component->context, &no_states, columns, row,
                                 &result))
        return false;
    const bool done = component_function_append(&component->function, &result, &component->builder);
    wasmtime.wasmtime_component_val_delete(&result);
    return done;
}

static int64_t run_nested(void *context, const struct column *columns, int64_t rows,
                          const uint8_t *valid, struct column *result)
{
    struct component *component = context;
    builder_clear(&component->builder);
    for (int64_t row = 0; row < rows; row++) {
        if (!bitmap_get(valid, row))
            builder_null(&component->builder);
        else if (!append_row(component, columns, row))
            return row;
    }
    builder_column(&component->builder, &component->column);
    *result = component->column;
    return rows;
}

static void set_run(struct program *program, struct component *component,
                    const struct signature *found)
{
    const struct type *type = found->result.type;
    program->context = component;
    program->run = type ? NULL : run_component;
    program->run_nested = type ? run_nested : NULL;
    if (!type)
        return;
    component->builder = builder_new(type);
    component->column = type_column(type);
}

bool component_prepare(struct program *program, const char *name, wasmtime_component *compiled,
                       const struct settings *settings, struct signature *found)
{
    wasmtime_component_instance instance;
    struct component *component = calloc(1, sizeof *component);
    if (!component)
        abort();
    wasmtime_store *store = module_store();
    component->context = wasmtime.wasmtime_store_context(store);
    memset(found, 0, sizeof *found);
    if (component_instantiate(compiled, component->context, settings, &instance) &&
        find(component, compiled, &instance, name, found)) {
        set_run(program, component, found);
        return true;
    }
    component_function_clear(&component->function);
    free(component);
    wasmtime.wasmtime_store_delete(store);
    wasmtime.wasmtime_component_delete(compiled);
    return false;
}
