/* See component.h. */
#include "component.h"

#include <stdlib.h>
#include <string.h>

#include "component_value.h"
#include "failure.h"
#include "module.h"
#include "problem.h"

struct component {
    wasmtime_context *context;
    wasmtime_component_func function;
    size_t count;
    struct component_kind result, parameters[PROGRAM_PARAMETERS];
};

bool component_is(const uint8_t *code, size_t length)
{
    static const uint8_t binary[] = { 0, 'a', 's', 'm', 13, 0, 1, 0 };
    size_t start = 0;
    if (length >= sizeof binary && memcmp(code, binary, sizeof binary) == 0)
        return true;
    while (start < length && (code[start] == ' ' || code[start] == '\n' || code[start] == '\t' || code[start] == '\r'))
        start++;
    return length - start > strlen("(component") && memcmp(code + start, "(component", strlen("(component")) == 0;
}

/* ---- Finding the function ---- */

static bool find_in(const wasmtime_component_instance *instance, wasmtime_context *context, const char *name, wasmtime_component_func *function)
{
    const char *hash = strchr(name, '#');
    wasmtime_component_index *outer = NULL;
    if (hash && !(outer = wasmtime.wasmtime_component_instance_get_export_index(instance, context, NULL, name, (size_t)(hash - name))))
        return false;
    const char *inner = hash ? hash + 1 : name;
    wasmtime_component_index *index = wasmtime.wasmtime_component_instance_get_export_index(instance, context, outer, inner, strlen(inner));
    const bool found = index && wasmtime.wasmtime_component_instance_get_func(instance, context, index, function);
    if (index)
        wasmtime.wasmtime_component_export_index_delete(index);
    if (outer)
        wasmtime.wasmtime_component_export_index_delete(outer);
    return found;
}

static bool take_parameter(const wasmtime_component_functype *type, size_t index, struct component *component, struct signature *found)
{
    wasmtime_component_valtype parameter;
    const char *name;
    size_t length;
    struct component_kind *kind = &component->parameters[index];
    struct slot *slot = &found->parameters[index];
    if (!wasmtime.wasmtime_component_func_type_param_nth(type, index, &name, &length, &parameter))
        return false;
    const bool taken = component_kind_take(&parameter, false, kind);
    wasmtime.wasmtime_component_valtype_delete(&parameter);
    *slot = (struct slot){ .storage = kind->storage, .nullable = kind->optional };
    length = length < sizeof slot->name ? length : sizeof slot->name - 1;
    for (size_t i = 0; i < length; i++)          /* names of WIT are kebab-case */
        slot->name[i] = name[i] == '-' ? '_' : name[i];
    return taken;
}

static bool take_type(const wasmtime_component_functype *type, struct component *component, struct signature *found)
{
    wasmtime_component_valtype result;
    bool taken = !wasmtime.wasmtime_component_func_type_async(type);
    found->count = component->count = wasmtime.wasmtime_component_func_type_param_count(type);
    taken = taken && found->count <= PROGRAM_PARAMETERS;
    for (size_t i = 0; taken && i < found->count; i++)
        taken = take_parameter(type, i, component, found);
    if (!taken || !wasmtime.wasmtime_component_func_type_result(type, &result))
        return false;
    taken = component_kind_take(&result, true, &component->result);
    wasmtime.wasmtime_component_valtype_delete(&result);
    found->result = (struct slot){ .storage = component->result.storage, .nullable = component->result.optional, .name = "result" };
    return taken;
}

static bool find(struct component *component, const wasmtime_component_instance *instance, const char *name, struct signature *found)
{
    if (!find_in(instance, component->context, name, &component->function)) {
        failure_set("AttributeError", "the component exports no function %s; one in an interface is named \"interface#function\"", name);
        return false;
    }
    wasmtime_component_functype *type = wasmtime.wasmtime_component_func_type(&component->function, component->context);
    const bool taken = take_type(type, component, found);
    wasmtime.wasmtime_component_func_type_delete(type);
    if (!taken)
        failure_set("TypeError", "%s must take at most %d parameters, each a bool, number, string, list<u8> or an option of one, and return a value, "
                    "without resources, futures and streams", name, PROGRAM_PARAMETERS);
    return taken;
}

/* ---- Calls ---- */

static bool run_row(const struct component *component, const struct column *columns, struct block *block, int64_t row)
{
    wasmtime_component_val arguments[PROGRAM_PARAMETERS + 1], result = { 0 };
    for (size_t i = 0; i < component->count; i++)
        component_value_make(&component->parameters[i], &columns[i], row, &arguments[i]);
    wasmtime_error *error = wasmtime.wasmtime_component_func_call(&component->function, component->context, arguments, component->count, &result, 1);
    for (size_t i = 0; i < component->count; i++)
        wasmtime.wasmtime_component_val_delete(&arguments[i]);
    if (problem("RuntimeError", error, NULL))
        return false;
    const bool done = component_value_put(&component->result, &result, block, row);
    wasmtime.wasmtime_component_val_delete(&result);
    return done;
}

static int64_t run_component(void *context, const struct column *columns, struct block *block, int64_t rows, bool skips)
{
    for (int64_t row = 0; row < rows; row++) {
        const bool skipped = skips && !(block->output[block->validity + (uint64_t)(row >> 3)] >> (row & 7) & 1);
        if (skipped)
            block_put(block, row, &(struct scalar){ .length = 0 });
        else if (!run_row(context, columns, block, row))
            return row;
    }
    return rows;
}

bool component_prepare(struct program *program, const struct load *load, const struct settings *settings, struct signature *found)
{
    wasmtime_component_instance instance;
    wasmtime_component *compiled = component_compile(load->code, load->code_length);
    if (!compiled)
        return false;
    struct component *component = calloc(1, sizeof *component);
    if (!component)
        abort();
    wasmtime_store *store = module_store();
    component->context = wasmtime.wasmtime_store_context(store);
    memset(found, 0, sizeof *found);
    if (component_instantiate(compiled, component->context, settings, &instance) && find(component, &instance, load->name, found)) {
        program->run = run_component;
        program->context = component;
        return true;
    }
    free(component);
    wasmtime.wasmtime_store_delete(store);
    wasmtime.wasmtime_component_delete(compiled);
    return false;
}
