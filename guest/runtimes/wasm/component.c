/* See component.h. */
#include "wasm/component.h"

#include <stdlib.h>
#include <string.h>

#include "wasm/component_value.h"
#include "shared/compiled/failure.h"
#include "wasm/interface.h"
#include "wasm/module.h"
#include "wasm/wasmtime_failure.h"
#include "shared/compiled/rows.h"
#include "wasm/standard_error.h"

struct component {
    wasmtime_context *context;
    wasmtime_component_func function;
    size_t count;
    struct component_type result, parameters[MAX_PARAMETERS];
    struct bytes made;      /* memory for results */
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

static bool find_in(const wasmtime_component_instance *instance, wasmtime_context *context,
                    const char *name, wasmtime_component_func *function)
{
    const char *hash = strchr(name, '#');
    wasmtime_component_index *outer = NULL;
    if (hash && !(outer = wasmtime.wasmtime_component_instance_get_export_index(
                      instance, context, NULL, name, (size_t)(hash - name))))
        return false;
    const char *inner = hash ? hash + 1 : name;
    wasmtime_component_index *index = wasmtime.wasmtime_component_instance_get_export_index(
        instance, context, outer, inner, strlen(inner));
    const bool found = index && wasmtime.wasmtime_component_instance_get_func(instance, context,
                                                                              index, function);
    if (index)
        wasmtime.wasmtime_component_export_index_delete(index);
    if (outer)
        wasmtime.wasmtime_component_export_index_delete(outer);
    return found;
}

static bool refuse_type(const char *name, const char *wrong)
{
    return failure_set("TypeError", "%s has %s", name, wrong);
}

static struct slot slot_of(const struct component_type *type)
{
    return (struct slot){ .storage = type->storage,
                          .nullable = type->options > 0,
                          .type = storage_is_nested(type->storage) ? component_type_describe(type)
                                                                   : NULL };
}

static bool take_parameter(const wasmtime_component_functype *function, size_t index,
                           struct component *component, struct signature *found)
{
    wasmtime_component_valtype parameter;
    const char *name;
    size_t length;
    struct component_type *type = &component->parameters[index];
    struct slot *slot = &found->parameters[index];
    if (!wasmtime.wasmtime_component_func_type_param_nth(function, index, &name, &length,
                                                         &parameter))
        return false;
    const char *wrong = component_type_take(&parameter, false, type);
    wasmtime.wasmtime_component_valtype_delete(&parameter);
    *slot = wrong ? (struct slot){ .nullable = false } : slot_of(type);
    length = length < sizeof slot->name ? length : sizeof slot->name - 1;
    for (size_t i = 0; i < length; i++) /* WIT uses kebab-case names */
        slot->name[i] = name[i] == '-' ? '_' : name[i];
    return !wrong || refuse_type(slot->name, wrong);
}

static bool take_result(const wasmtime_component_functype *type, struct component *component,
                        struct signature *found)
{
    wasmtime_component_valtype result;
    if (!wasmtime.wasmtime_component_func_type_result(type, &result))
        return failure_set("TypeError", "the function returns nothing");
    const char *wrong = component_type_take(&result, true, &component->result);
    wasmtime.wasmtime_component_valtype_delete(&result);
    if (wrong)
        return refuse_type("the result", wrong);
    found->result = slot_of(&component->result);
    memcpy(found->result.name, "result", sizeof "result");
    return true;
}

static bool take_type(const wasmtime_component_functype *type, struct component *component,
                      struct signature *found)
{
    const size_t count = wasmtime.wasmtime_component_func_type_param_count(type);
    if (wasmtime.wasmtime_component_func_type_async(type) || count > MAX_PARAMETERS)
        return failure_set("TypeError", "the function is async, or has more than %d parameters",
                           MAX_PARAMETERS);
    for (size_t i = 0; i < count; i++, found->count = component->count = i)
        if (!take_parameter(type, i, component, found))
            return false;
    return take_result(type, component, found);
}

static void clear_types(struct component *component)
{
    component_type_clear(&component->result);
    for (size_t i = 0; i < MAX_PARAMETERS; i++)
        component_type_clear(&component->parameters[i]);
}

bool component_signature(const wasmtime_component_functype *type, struct signature *found)
{
    struct component component = { .count = 0 };
    memset(found, 0, sizeof *found);
    const bool taken = take_type(type, &component, found);
    clear_types(&component);
    return taken;
}

static bool find(struct component *component, const wasmtime_component *compiled,
                 const wasmtime_component_instance *instance, const char *name,
                 struct signature *found)
{
    if (!find_in(instance, component->context, name, &component->function)) {
        component_fail_no_export(compiled, engine_used(), name);
        return false;
    }
    wasmtime_component_functype *type = wasmtime.wasmtime_component_func_type(&component->function,
                                                                              component->context);
    const bool taken = take_type(type, component, found);
    wasmtime.wasmtime_component_func_type_delete(type);
    return taken;
}

/* ---- Calls ---- */

/* Calls the function. The caller deletes the result. Returns false with a failure and without a
 * result. */
static bool call(const struct component *component, const struct column *columns, int64_t row,
                 wasmtime_component_val *result)
{
    wasmtime_component_val arguments[MAX_PARAMETERS + 1];
    wasmtime_error *error = NULL;
    size_t count = 0;
    bool made = true;
    row_begin();
    standard_error_begin();
    *result = (wasmtime_component_val){ 0 };
    for (; made && count < component->count; count++)
        made = component_value_make(&component->parameters[count], &columns[count], row,
                                    &arguments[count]);
    if (!made)
        failure_of_argument(count);
    else
        error = wasmtime.wasmtime_component_func_call(&component->function, component->context,
                                                      arguments, count, result, 1);
    for (size_t i = 0; i < count; i++)
        wasmtime.wasmtime_component_val_delete(&arguments[i]);
    return made && !wasmtime_failed("RuntimeError", error, NULL);
}

static bool run_row(void *context, const struct column *columns, struct block *block, int64_t row)
{
    struct component *component = context;
    wasmtime_component_val result;
    if (!call(component, columns, row, &result))
        return false;
    const wasmtime_component_val *value = component_value_ok(&component->result, &result);
    const bool done = value &&
                      component_value_put(&component->result, value, &component->made, block, row);
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
    if (!call(component, columns, row, &result))
        return false;
    const wasmtime_component_val *value = component_value_ok(&component->result, &result);
    const bool done = value && component_value_append(&component->result, value, &component->made,
                                                      &component->builder);
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
    clear_types(component);
    free(component);
    wasmtime.wasmtime_store_delete(store);
    wasmtime.wasmtime_component_delete(compiled);
    return false;
}
