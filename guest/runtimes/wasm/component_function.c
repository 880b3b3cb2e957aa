/* See component_function.h. */
#include "wasm/component_function.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"
#include "wasm/component_json.h"
#include "wasm/component_value.h"
#include "wasm/standard_error.h"
#include "wasm/wasmtime_failure.h"

#define MAX_SHOWN 1800 /* bytes of a message */

/* ---- Types ---- */

bool component_function_find(const wasmtime_component_instance *instance, wasmtime_context *context,
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

struct slot component_function_slot(const struct component_type *type)
{
    return (struct slot){ .storage = type->storage,
                          .nullable = type->options > 0,
                          .type = storage_is_nested(type->storage) ? component_type_describe(type)
                                                                   : NULL };
}

/* Takes a parameter, which is the one `at` in WIT. */
static bool take_parameter(const wasmtime_component_functype *function_type, size_t at,
                           size_t index, struct component_function *function,
                           struct signature *found)
{
    wasmtime_component_valtype parameter;
    const char *name;
    size_t length;
    struct component_type *type = &function->parameters[index];
    struct slot *slot = &found->parameters[index];
    if (!wasmtime.wasmtime_component_func_type_param_nth(function_type, at, &name, &length,
                                                         &parameter))
        return false;
    const char *wrong = component_type_take(&parameter, false, type);
    wasmtime.wasmtime_component_valtype_delete(&parameter);
    *slot = wrong ? (struct slot){ .nullable = false } : component_function_slot(type);
    length = length < sizeof slot->name ? length : sizeof slot->name - 1;
    for (size_t i = 0; i < length; i++) /* WIT uses kebab-case names */
        slot->name[i] = name[i] == '-' ? '_' : name[i];
    return !wrong || refuse_type(slot->name, wrong);
}

bool component_function_parameters(const wasmtime_component_functype *type, size_t states,
                                   struct component_function *function, struct signature *found)
{
    const size_t count = wasmtime.wasmtime_component_func_type_param_count(type);
    if (wasmtime.wasmtime_component_func_type_async(type) || count > states + MAX_PARAMETERS)
        return failure_set("TypeError", "the function is async, or has more than %d parameters",
                           MAX_PARAMETERS);
    for (size_t i = 0; states + i < count; i++, found->count = function->count = i)
        if (!take_parameter(type, states + i, i, function, found))
            return false;
    return true;
}

bool component_function_result(const wasmtime_component_functype *type,
                               struct component_function *function, struct signature *found)
{
    wasmtime_component_valtype result;
    if (!wasmtime.wasmtime_component_func_type_result(type, &result))
        return failure_set("TypeError", "the function returns nothing");
    function->has_result = true;
    const char *wrong = component_type_take(&result, true, &function->result);
    wasmtime.wasmtime_component_valtype_delete(&result);
    if (wrong)
        return refuse_type("the result", wrong);
    found->result = component_function_slot(&function->result);
    memcpy(found->result.name, "result", sizeof "result");
    return true;
}

void component_function_clear(struct component_function *function)
{
    component_type_clear(&function->result);
    for (size_t i = 0; i < MAX_PARAMETERS; i++)
        component_type_clear(&function->parameters[i]);
}

/* ---- Calls ---- */

bool component_function_call(const struct component_function *function, wasmtime_context *context,
                             const struct component_states *states, const struct column *columns,
                             int64_t row, wasmtime_component_val *result)
{
    wasmtime_component_val arguments[MAX_COMPONENT_STATES + MAX_PARAMETERS];
    wasmtime_error *error = NULL;
    size_t count = 0;
    bool made = true;
    row_begin();
    standard_error_begin();
    *result = (wasmtime_component_val){ 0 };
    for (size_t i = 0; i < states->count; i++)
        arguments[i] = *states->values[i];
    for (; made && count < function->count; count++)
        made = component_value_make(&function->parameters[count], &columns[count], row,
                                    &arguments[states->count + count]);
    if (!made)
        failure_of_argument(count);
    else
        error = wasmtime.wasmtime_component_func_call(&function->function, context, arguments,
                                                      states->count + count, result,
                                                      function->has_result);
    for (size_t i = 0; i < count; i++)
        wasmtime.wasmtime_component_val_delete(&arguments[states->count + i]);
    return made && !wasmtime_failed("RuntimeError", error, NULL);
}

static void set_error(const wasmtime_component_val *error)
{
    struct bytes text = { 0 };
    if (!error) {
        failure_set("RuntimeError", "the function returned an error");
    } else if (error->kind == COMPONENT_STRING || error->kind == COMPONENT_ENUM) {
        failure_set("RuntimeError", "%.*s",
                    error->of.string.size > MAX_SHOWN ? MAX_SHOWN : (int)error->of.string.size,
                    error->of.string.data);
    } else {
        component_json(error, &text);
        failure_set("RuntimeError", "%.*s", text.length > MAX_SHOWN ? MAX_SHOWN : (int)text.length,
                    (const char *)text.at);
        bytes_free(&text);
    }
}

const wasmtime_component_val *component_function_ok(const struct component_type *type,
                                                    const wasmtime_component_val *value)
{
    if (!type->fallible)
        return value;
    if (value->of.result.is_ok)
        return value->of.result.value;
    set_error(value->of.result.value);
    return NULL;
}

bool component_function_put(struct component_function *function,
                            const wasmtime_component_val *result, struct block *block, int64_t row)
{
    const wasmtime_component_val *value = component_function_ok(&function->result, result);
    return value && component_value_put(&function->result, value, &function->made, block, row);
}

bool component_function_append(struct component_function *function,
                               const wasmtime_component_val *result, struct builder *builder)
{
    const wasmtime_component_val *value = component_function_ok(&function->result, result);
    return value && component_value_append(&function->result, value, &function->made, builder);
}
