/* See component_host.h. */
#include "wasm/component_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/host_value.h"
#include "wasm/component_value.h"
#include "wasm/interface.h"
#include "wasm/wasmtime_failure.h"

#define MAX_NAME_SHOWN 100

/* ---- Types ---- */

struct binding {
    const struct host_function *function;
    bool returns;
    struct component_type result, *parameters;
};

static bool is_of_type(const struct component_type *type, const struct host_slot *slot)
{
    if (slot->type != UDFVM_TYPE_ARROW)
        return type->form <= FORM_ENUM && storage_row_type(type->storage) == slot->type;
    struct type *described = component_type_describe(type);
    const bool has = host_slot_has_type(slot, described);
    type_delete(described);
    return has;
}

/* Returns true if values of the host's type can be values of WIT's. */
static bool fits(const struct component_type *type, const struct host_slot *slot, bool result)
{
    const bool optional = type->options > 0;
    if (type->options > 1 || !is_of_type(type, slot))
        return false;
    return result ? optional || !slot->nullable : slot->nullable || !optional;
}

static bool refuse(const struct host_function *function, const char *what, size_t number)
{
    static const char *const names[] = {
        [UDFVM_TYPE_NULL] = "nothing", [UDFVM_TYPE_INT64] = "int",  [UDFVM_TYPE_FLOAT64] = "float",
        [UDFVM_TYPE_TEXT] = "str",     [UDFVM_TYPE_BLOB] = "bytes", [UDFVM_TYPE_BOOL] = "bool",
    };
    const struct host_slot *slot = number ? &function->parameters[number - 1] : &function->result;
    const char *name = slot->name ? slot->name : names[slot->type];
    char place[32] = "its result";
    if (number)
        snprintf(place, sizeof place, "parameter %zu", number);
    return failure_set("LinkError", "host function %.*s: %s is %s%s, and the component %s",
                       MAX_NAME_SHOWN, function->name, place, name,
                       slot->nullable ? " or None" : "", what);
}

static bool take_parameters(const wasmtime_component_functype *type, struct binding *binding)
{
    const struct host_function *function = binding->function;
    const size_t count = wasmtime.wasmtime_component_func_type_param_count(type);
    if (count != function->count)
        return failure_set("LinkError",
                           "host function %.*s has %zu parameter%s, and the component passes %zu",
                           MAX_NAME_SHOWN, function->name, function->count,
                           function->count == 1 ? "" : "s", count);
    binding->parameters = calloc(count + 1, sizeof *binding->parameters);
    if (!binding->parameters)
        abort();
    for (size_t i = 0; i < count; i++) {
        wasmtime_component_valtype parameter;
        const char *name;
        size_t length;
        if (!wasmtime.wasmtime_component_func_type_param_nth(type, i, &name, &length, &parameter))
            return false;
        const char *wrong = component_type_take(&parameter, false, &binding->parameters[i]);
        wasmtime.wasmtime_component_valtype_delete(&parameter);
        if (wrong || !fits(&binding->parameters[i], &function->parameters[i], false))
            return refuse(function, "passes another type", i + 1);
    }
    return true;
}

static bool take_result(const wasmtime_component_functype *type, struct binding *binding)
{
    wasmtime_component_valtype result;
    const struct host_slot *slot = &binding->function->result;
    binding->returns = wasmtime.wasmtime_component_func_type_result(type, &result);
    if (!binding->returns)
        return slot->type == UDFVM_TYPE_NULL ||
               refuse(binding->function, "takes no result of it", 0);
    const char *wrong = component_type_take(&result, true, &binding->result);
    wasmtime.wasmtime_component_valtype_delete(&result);
    return (!wrong && fits(&binding->result, slot, true)) ||
           refuse(binding->function, "takes another type", 0);
}

/* ---- Calls ---- */

static wasmtime_error *failed(const struct host_function *function, const char *message)
{
    char text[512];
    snprintf(text, sizeof text, "host function %.*s: %s", MAX_NAME_SHOWN, function->name, message);
    return wasmtime.wasmtime_error_new(text);
}

/* Takes a list or struct, or a number that no row has. Returns a message if that fails. */
static const char *take_stream(const struct host_slot *slot, const struct component_type *type,
                               const wasmtime_component_val *from, struct bytes *made,
                               struct host_value *value)
{
    struct builder *builder = &slot->stream->builder;
    struct bytes converted = { 0 };
    builder_clear(builder);
    const bool taken = component_value_append(type, from, &converted, builder);
    bytes_free(&converted);
    if (!taken)
        return failure_message();
    *value = (struct host_value){ .type = UDFVM_TYPE_NULL };
    if (builder->nulls > 0)
        return NULL;
    host_slot_write(slot, made);
    *value = (struct host_value){ .type = UDFVM_TYPE_ARROW,
                                  .bytes = (const char *)made->at,
                                  .length = made->length };
    return NULL;
}

static const char *take(const struct host_slot *slot, const struct component_type *type,
                        const wasmtime_component_val *from, struct bytes *made,
                        struct host_value *value)
{
    if (slot->type == UDFVM_TYPE_ARROW)
        return take_stream(slot, type, from, made, value);
    const struct scalar scalar = component_value_scalar(type, from, made);
    *value = (struct host_value){ .type = scalar.null ? UDFVM_TYPE_NULL
                                                      : storage_row_type(type->storage) };
    value->integer = scalar.integer; /* or the bits of the real number */
    value->bytes = scalar.bytes;
    value->length = scalar.length;
    return NULL;
}

static const char *put_stream(const struct binding *binding, const struct host_value *value,
                              wasmtime_component_val *result)
{
    const struct column *column = host_slot_read(&binding->function->result, value->bytes,
                                                 value->length);
    if (!column)
        return "its result cannot be read";
    return component_value_return_row(&binding->result, column, 0, result) ? NULL
                                                                           : failure_message();
}

static const char *put(const struct binding *binding, const struct host_value *value,
                       wasmtime_component_val *result)
{
    if (value->type == UDFVM_TYPE_ARROW)
        return put_stream(binding, value, result);
    struct scalar scalar = { .null = value->type == UDFVM_TYPE_NULL,
                             .bytes = value->bytes,
                             .length = value->length };
    scalar.integer = value->integer;
    return component_value_return(&binding->result, &scalar, result)
               ? NULL
               : "its result is out of range of its type in WIT, or not one character";
}

static wasmtime_error *call_host(void *data, wasmtime_context *context,
                                 const wasmtime_component_functype *type,
                                 wasmtime_component_val *arguments, size_t argument_count,
                                 wasmtime_component_val *results, size_t result_count)
{
    (void)context, (void)type, (void)result_count;
    const struct binding *binding = data;
    struct host_value result, *values = calloc(argument_count + 1, sizeof *values);
    struct bytes *made = calloc(argument_count + 1, sizeof *made);
    if (!values || !made)
        abort();
    const char *wrong = NULL;
    for (size_t i = 0; i < argument_count && !wrong; i++)
        wrong = take(&binding->function->parameters[i], &binding->parameters[i], &arguments[i],
                     &made[i], &values[i]);
    if (!wrong)
        wrong = host_value_call(binding->function->name, values, argument_count, &result);
    if (!wrong && binding->returns)
        wrong = put(binding, &result, results);
    for (size_t i = 0; i < argument_count; i++)
        bytes_free(&made[i]);
    free(values);
    free(made);
    return wrong ? failed(binding->function, wrong) : NULL;
}

static wasmtime_error *missing(void *data, wasmtime_context *context,
                               const wasmtime_component_functype *type,
                               wasmtime_component_val *arguments, size_t argument_count,
                               wasmtime_component_val *results, size_t result_count)
{
    (void)context, (void)type, (void)arguments, (void)argument_count, (void)results,
        (void)result_count;
    return wasmtime.wasmtime_error_new(data);
}

/* ---- Imports ---- */

struct imports {
    const wasm_engine *engine;
    const struct link_settings *settings;
    wasmtime_component_linker_instance *root;
    struct bytes missing; /* a list of names */
};

static bool define_missing(struct imports *imports, wasmtime_component_linker_instance *instance,
                           const wasm_bytes *interface, const wasm_bytes *name)
{
    const char *separator = interface->size ? "#" : "";
    char *message = NULL;
    if (!imports->settings->traps) {
        interface_list(&imports->missing, interface, separator, name);
        return true;
    }
    if (asprintf(&message,
                 "the component called %.*s%s%.*s, which nothing provides: pass it in "
                 "host_functions=",
                 (int)interface->size, interface->data, separator, (int)name->size, name->data) < 0)
        abort();
    return !wasmtime_failed("LinkError",
                            wasmtime.wasmtime_component_linker_instance_add_func(
                                instance, name->data, name->size, missing, message, free),
                            NULL);
}

static bool define_function(struct imports *imports, wasmtime_component_linker_instance *instance,
                            const wasm_bytes *interface, const wasm_bytes *name,
                            const wasmtime_component_functype *type)
{
    const struct host_function *function = link_settings_find(imports->settings, name->data,
                                                              name->size);
    if (!function)
        return define_missing(imports, instance, interface, name);
    struct binding *binding = calloc(1, sizeof *binding); /* kept as long as the component */
    if (!binding)
        abort();
    binding->function = function;
    return take_parameters(type, binding) && take_result(type, binding) &&
           !wasmtime_failed("LinkError",
                            wasmtime.wasmtime_component_linker_instance_add_func(
                                instance, name->data, name->size, call_host, binding, NULL),
                            NULL);
}

static bool define_interface(struct imports *imports, const wasm_bytes *interface,
                             const wasmtime_component_instance_type *type)
{
    const size_t count = wasmtime.wasmtime_component_instance_type_export_count(type,
                                                                                imports->engine);
    wasmtime_component_linker_instance *instance = NULL;
    bool done = !wasmtime_failed("LinkError",
                                 wasmtime.wasmtime_component_linker_instance_add_instance(
                                     imports->root, interface->data, interface->size, &instance),
                                 NULL);
    for (size_t i = 0; i < count && done; i++) {
        wasmtime_component_extern *what = NULL;
        wasmtime_component_item item;
        const char *name;
        size_t length;
        if (!wasmtime.wasmtime_component_instance_type_export_nth(type, imports->engine, i, &name,
                                                                  &length, &what))
            continue;
        wasmtime.wasmtime_component_extern_type(what, &item);
        if (item.kind == COMPONENT_ITEM_FUNC)
            done = define_function(imports, instance, interface,
                                   &(wasm_bytes){ length, (char *)name }, item.of.function);
        wasmtime.wasmtime_component_item_delete(&item);
        wasmtime.wasmtime_component_extern_delete(what);
    }
    if (instance)
        wasmtime.wasmtime_component_linker_instance_delete(instance);
    return done;
}

static bool define(struct imports *imports, const wasm_bytes *name,
                   const wasmtime_component_extern *what)
{
    static const wasm_bytes none = { 0, "" };
    wasmtime_component_item item;
    bool done = true;
    wasmtime.wasmtime_component_extern_type(what, &item);
    if (item.kind == COMPONENT_ITEM_FUNC)
        done = define_function(imports, imports->root, &none, name, item.of.function);
    else if (item.kind == COMPONENT_ITEM_INSTANCE)
        done = define_interface(imports, name, item.of.instance);
    wasmtime.wasmtime_component_item_delete(&item);
    return done;
}

bool component_import_is_wasi(const char *name, size_t length)
{
    static const char *const packages[] = { "wasi:io/",         "wasi:clocks/",  "wasi:random/",
                                            "wasi:filesystem/", "wasi:sockets/", "wasi:cli/",
                                            "wasi:http/" };
    const char *version = memchr(name, '@', length);
    bool found = false;
    for (size_t i = 0; i < sizeof packages / sizeof *packages && !found; i++)
        found = length > strlen(packages[i]) && memcmp(name, packages[i], strlen(packages[i])) == 0;
    return found && version && (size_t)(name + length - version) > strlen("@0.2.") &&
           memcmp(version, "@0.2.", strlen("@0.2.")) == 0;
}

bool component_host_define(wasmtime_component_linker *linker, const wasm_engine *engine,
                           const wasmtime_component *component,
                           const struct link_settings *settings)
{
    struct imports imports = { .engine = engine, .settings = settings };
    wasmtime_component_componenttype *type = wasmtime.wasmtime_component_type(component);
    const size_t count = wasmtime.wasmtime_component_type_import_count(type, engine);
    bool done = true;
    imports.root = wasmtime.wasmtime_component_linker_root(linker);
    for (size_t i = 0; i < count && done; i++) {
        const char *name;
        size_t length;
        wasmtime_component_extern *what = NULL;
        if (!wasmtime.wasmtime_component_type_import_nth(type, engine, i, &name, &length, &what))
            continue;
        if (!component_import_is_wasi(name, length))
            done = define(&imports, &(wasm_bytes){ length, (char *)name }, what);
        wasmtime.wasmtime_component_extern_delete(what);
    }
    wasmtime.wasmtime_component_linker_instance_delete(imports.root);
    wasmtime.wasmtime_component_type_delete(type);
    if (done)
        return interface_complete("the component", true, false, &imports.missing);
    bytes_free(&imports.missing);
    return false;
}
