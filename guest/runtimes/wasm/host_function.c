/* See host_function.h. */
#include "wasm/host_function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/host_value.h"
#include "udfvm_abi.h"
#include "utf8.h"
#include "wasm/caller_memory.h"
#include "wasm/host_nested.h"
#include "wasm/value_type.h"
#include "wasm/wasmtime_failure.h"

#define MAX_NAME_SHOWN 100

struct binding {
    const struct host_function *function;
    bool script;           /* text and bytes are objects of AssemblyScript */
    enum wasm_kind result; /* if there is one */
};

/* ---- Types ---- */

static bool number_fits(const struct host_slot *slot, enum wasm_kind kind)
{
    if (host_slot_is_natural(slot))
        return kind == WASM_I64;
    return slot->type == UDFVM_TYPE_FLOAT64 ? kind == WASM_F32 || kind == WASM_F64
                                            : kind == WASM_I32 || kind == WASM_I64;
}

/* Returns true if `count` types from an index are all i32, and moves the index past them. */
static bool takes_words(const wasm_valtypes *types, size_t *index, size_t count)
{
    enum wasm_kind kind;
    for (size_t i = 0; i < count; i++, (*index)++)
        if (*index >= types->size || !value_type_kind(types->data[*index], &kind) ||
            kind != WASM_I32)
            return false;
    return true;
}

static bool parameters_fit(const wasm_valtypes *types, const struct binding *binding)
{
    const struct host_function *function = binding->function;
    enum wasm_kind kind;
    size_t index = 0;
    for (size_t i = 0; i < function->count; i++) {
        const struct host_slot *slot = &function->parameters[i];
        if (host_slot_has_bytes(slot)) {
            if (!takes_words(types, &index, binding->script ? 1 : 2))
                return false;
        } else if (index >= types->size || !value_type_kind(types->data[index++], &kind) ||
                   !number_fits(slot, kind)) {
            return false;
        }
    }
    if (host_slot_has_bytes(&function->result) && !binding->script &&
        !takes_words(types, &index, 2)) /* the buffer */
        return false;
    return index == types->size;
}

static bool type_fits(const wasm_functype *type, struct binding *binding)
{
    const wasm_valtypes *results = wasmtime.wasm_functype_results(type);
    const struct host_slot *result = &binding->function->result;
    if (!parameters_fit(wasmtime.wasm_functype_params(type), binding))
        return false;
    if (result->type == UDFVM_TYPE_NULL)
        return results->size == 0;
    return results->size == 1 && value_type_kind(results->data[0], &binding->result) &&
           (host_slot_has_bytes(result) ? binding->result == WASM_I32
                                        : number_fits(result, binding->result));
}

static const char *needed_for(const struct host_slot *slot)
{
    static const char *const needs[] = {
        [UDFVM_TYPE_INT64] = " i64",    [UDFVM_TYPE_FLOAT64] = " f64",
        [UDFVM_TYPE_TEXT] = " i32 i32", [UDFVM_TYPE_BLOB] = " i32 i32",
        [UDFVM_TYPE_BOOL] = " i32",     [UDFVM_TYPE_ARROW] = " i32 i32",
    };
    return needs[host_slot_is_natural(slot) ? UDFVM_TYPE_INT64 : slot->type];
}

static void write_needed(const struct host_function *function, struct bytes *to)
{
    const struct host_slot *result = &function->result;
    bytes_text(to, "(param");
    for (size_t i = 0; i < function->count; i++)
        bytes_text(to, needed_for(&function->parameters[i]));
    bytes_text(to, host_slot_has_bytes(result) ? " i32 i32)" : ")");
    if (result->type != UDFVM_TYPE_NULL) {
        bytes_text(to, " (result");
        bytes_text(to, host_slot_has_bytes(result) ? " i32" : needed_for(result));
        bytes_text(to, ")");
    }
    bytes_put(to, "", 1);
}

/* Returns a slot of a type that modules do not have; NULL if there is none. */
static const struct host_slot *unknown_slot(const struct host_function *function)
{
    for (size_t i = 0; i <= function->count; i++) {
        const struct host_slot *slot = i ? &function->parameters[i - 1] : &function->result;
        if (slot->type == UDFVM_TYPE_ARROW && !slot->stream)
            return slot;
    }
    return NULL;
}

static bool refuse_type(const struct host_function *function, const wasm_functype *type)
{
    struct bytes is = { 0 }, needed = { 0 };
    function_type_write(type, &is);
    bytes_put(&is, "", 1);
    write_needed(function, &needed);
    failure_set("LinkError",
                "the module imports %.*s as (func %s), and the host function of that name is "
                "(func %s), or the same with i32 for i64 and f32 for f64",
                MAX_NAME_SHOWN, function->name, (const char *)is.at, (const char *)needed.at);
    bytes_free(&is);
    bytes_free(&needed);
    return false;
}

/* ---- Calls ---- */

wasm_trap *host_function_trap(const char *name, const char *message)
{
    char text[512];
    const int length = snprintf(text, sizeof text, "host function %.*s: %s", MAX_NAME_SHOWN, name,
                                message);
    return wasmtime.wasmtime_trap_new(text,
                                      length < (int)sizeof text ? (size_t)length : sizeof text - 1);
}

/* Returns a message for an object of another class than the declared type needs. */
static const char *wrong_class(const struct linear *linear, uint32_t address, uint32_t type)
{
    if (type != UDFVM_TYPE_BLOB)
        return script_is(linear, address, SCRIPT_TEXT) ? NULL
                                                       : "an argument that is text got no string";
    return script_is(linear, address, SCRIPT_BUFFER)
               ? NULL
               : "an argument that is bytes got no ArrayBuffer";
}

/* Takes text or bytes at an address. `made` is memory for text that is converted. Returns a
 * message if that fails. */
static const char *take_bytes(const struct linear *linear, const wasmtime_val *at, bool script,
                              struct bytes *made, struct host_value *value)
{
    const uint32_t address = (uint32_t)at[0].of.i32;
    uint32_t length = script ? 0 : (uint32_t)at[1].of.i32;
    const uint8_t *bytes = script ? script_object(linear, address, &length)
                                  : linear_at(linear, address, length);
    if (!bytes)
        return "an argument is outside of the module's memory (an export \"memory\")";
    const char *wrong = script ? wrong_class(linear, address, value->type) : NULL;
    if (wrong)
        return wrong;
    if (script && value->type != UDFVM_TYPE_BLOB) {
        utf16_to_utf8(bytes, length, made);
        bytes = made->at;
        length = (uint32_t)made->length;
    }
    value->bytes = (const char *)bytes;
    value->length = length;
    return value->type != UDFVM_TYPE_BLOB && !utf8_is_valid(bytes, length)
               ? "an argument is text that is not valid UTF-8"
               : NULL;
}

static void take_number(const wasmtime_val *from, struct host_value *value)
{
    if (value->type == UDFVM_TYPE_FLOAT64)
        value->real = from->kind == WASM_F32 ? (double)from->of.f32 : from->of.f64;
    else
        value->integer = from->kind == WASM_I32 ? from->of.i32 : from->of.i64;
    if (value->type == UDFVM_TYPE_BOOL)
        value->integer = value->integer != 0;
}

struct host_arguments {
    struct host_value *values;
    struct bytes *made;
};

static const char *take_arguments(const struct binding *binding, const struct linear *linear,
                                  const wasmtime_val *from, const struct host_arguments *to)
{
    const struct host_function *function = binding->function;
    for (size_t i = 0; i < function->count; i++) {
        struct host_value *value = &to->values[i];
        value->type = function->parameters[i].type;
        const struct host_slot *slot = &function->parameters[i];
        const char *wrong = NULL;
        if (!host_slot_has_bytes(slot)) {
            take_number(from++, value);
            if (value->type == UDFVM_TYPE_ARROW)
                host_nested_take(slot, &to->made[i], value);
            continue;
        }
        if (slot->nullable && from->of.i32 == 0)
            value->type = UDFVM_TYPE_NULL;
        else
            wrong = take_bytes(linear, from, binding->script, &to->made[i], value);
        if (!wrong && value->type == UDFVM_TYPE_ARROW)
            wrong = host_nested_take(slot, &to->made[i], value);
        if (wrong)
            return wrong;
        from += binding->script ? 1 : 2;
    }
    return NULL;
}

static const char *put_number(const struct binding *binding, const struct host_value *value,
                              wasmtime_val *result)
{
    if (value->type == UDFVM_TYPE_NULL)
        return "it returned None, which a number in WebAssembly cannot be";
    result->kind = (uint8_t)binding->result;
    switch (binding->result) {
    case WASM_F64:
        result->of.f64 = value->real;
        return NULL;
    case WASM_F32:
        result->of.f32 = (float)value->real;
        return NULL;
    case WASM_I64:
        result->of.i64 = value->integer;
        return NULL;
    default:
        result->of.i32 = (int32_t)value->integer;
        return result->of.i32 == value->integer ? NULL
                                                : "it returned an integer out of range of i32";
    }
}

/* Copies bytes to an address in the module's memory. Returns false if they do not fit there. */
static bool put_at(wasmtime_caller *caller, uint32_t address, const struct bytes *bytes)
{
    const struct linear linear = caller_memory(caller);
    uint8_t *to = linear_at(&linear, address, bytes->length);
    if (to && bytes->length > 0)
        memcpy(to, bytes->at, bytes->length);
    return to != NULL;
}

/* Makes an object of AssemblyScript for text or bytes. */
static wasm_trap *put_object(wasmtime_caller *caller, const struct binding *binding,
                             const struct host_value *value, wasmtime_val *result)
{
    struct bytes made = { 0 };
    wasmtime_extern new;
    wasmtime_val arguments[2] = { { .kind = WASM_I32 }, { .kind = WASM_I32 } };
    wasm_trap *trap = NULL;
    const bool text = value->type != UDFVM_TYPE_BLOB;
    if (text)
        utf8_to_utf16(value->bytes, value->length, &made);
    else
        bytes_put(&made, value->bytes, value->length);
    arguments[0].of.i32 = (int32_t)made.length;
    arguments[1].of.i32 = text ? SCRIPT_TEXT : SCRIPT_BUFFER;
    if (!wasmtime.wasmtime_caller_export_get(caller, "__new", strlen("__new"), &new) ||
        new.kind != WASMTIME_FUNC)
        trap = host_function_trap(binding->function->name,
                                  "its result needs the export __new: compile with "
                                  "--exportRuntime");
    else if (wasmtime.wasmtime_func_call(wasmtime.wasmtime_caller_context(caller), &new.of.func,
                                         arguments, 2, result, 1, &trap) ||
             trap || !put_at(caller, (uint32_t)result->of.i32, &made))
        trap = trap ? trap
                    : host_function_trap(binding->function->name, "__new() did not make an object");
    bytes_free(&made);
    return trap;
}

/* Copies text or bytes into the module's buffer, `at`. */
static const char *put_bytes(const struct linear *linear, const struct host_value *value,
                             const wasmtime_val *at, wasmtime_val *result)
{
    uint8_t *buffer = linear_at(linear, (uint32_t)at[0].of.i32, (uint32_t)at[1].of.i32);
    if (!buffer)
        return "the buffer for its result is outside of the module's memory";
    if (value->length > (uint32_t)at[1].of.i32)
        return "its result does not fit into the module's buffer";
    if (value->length > 0)
        memcpy(buffer, value->bytes, value->length);
    result->of.i32 = (int32_t)value->length;
    return NULL;
}

static wasm_trap *put_result(wasmtime_caller *caller, const struct binding *binding,
                             const struct host_value *value, const wasmtime_val *buffer,
                             wasmtime_val *result)
{
    const char *wrong = NULL;
    if (!host_slot_has_bytes(&binding->function->result)) {
        wrong = put_number(binding, value, result);
    } else if (value->type == UDFVM_TYPE_NULL) {
        *result = (wasmtime_val){ .kind = WASM_I32, .of.i32 = binding->script ? 0 : -1 };
    } else if (binding->script) {
        return put_object(caller, binding, value, result);
    } else {
        result->kind = WASM_I32;
        const struct linear linear = caller_memory(caller);
        wrong = put_bytes(&linear, value, buffer, result);
    }
    return wrong ? host_function_trap(binding->function->name, wrong) : NULL;
}

static wasm_trap *call_host(void *data, wasmtime_caller *caller, const wasmtime_val *arguments,
                            size_t argument_count, wasmtime_val *results, size_t result_count)
{
    const struct binding *binding = data;
    const struct host_function *function = binding->function;
    const struct linear linear = caller_memory(caller);
    struct host_value result;
    struct host_arguments to = { calloc(function->count + 1, sizeof *to.values),
                                 calloc(function->count + 1, sizeof *to.made) };
    if (!to.values || !to.made)
        abort();
    const char *wrong = take_arguments(binding, &linear, arguments, &to);
    if (!wrong)
        wrong = host_value_call(function->name, to.values, function->count, &result);
    if (!wrong && result.type == UDFVM_TYPE_ARROW)
        wrong = host_nested_make(&function->result, &result);
    for (size_t i = 0; i < function->count; i++)
        bytes_free(&to.made[i]);
    free(to.values);
    free(to.made);
    if (wrong)
        return host_function_trap(function->name, wrong);
    return result_count > 0
               ? put_result(caller, binding, &result,
                            argument_count >= 2 ? arguments + argument_count - 2 : NULL, results)
               : NULL;
}

bool host_function_define(wasmtime_linker *linker, const struct import_name *import,
                          const wasm_functype *type, const struct host_function *function)
{
    struct binding binding = { .function = function };
    const struct host_slot *unknown = unknown_slot(function);
    if (unknown)
        return failure_set("LinkError",
                           "host function %.*s has the type %s, which modules do not have: pass "
                           "text",
                           MAX_NAME_SHOWN, function->name, unknown->name);
    if (!type_fits(type, &binding)) {
        binding.script = true;
        if (!type_fits(type, &binding))
            return refuse_type(function, type);
    }
    struct binding *kept = malloc(sizeof *kept);
    if (!kept)
        abort();
    *kept = binding;
    return !wasmtime_failed(
        "LinkError",
        wasmtime.wasmtime_linker_define_func(linker, import->module->data, import->module->size,
                                             import->name->data, import->name->size, type,
                                             call_host, kept, free),
        NULL);
}
