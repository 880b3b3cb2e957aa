/* See export_type.h. */
#include "wasm/export_type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/number_loop.h"
#include "wasm/number_value.h"
#include "wasm/value_type.h"

/* ---- The type in the module ---- */

static bool take_kinds(const wasm_valtypes *from, const char *what, enum wasm_kind *kinds,
                       size_t *count)
{
    if (from->size > MAX_EXPORT_VALUES)
        return failure_set("TypeError", "the export has more than %d %ss", MAX_EXPORT_VALUES, what);
    *count = from->size;
    for (size_t i = 0; i < from->size; i++)
        if (!value_type_kind(from->data[i], &kinds[i]))
            return failure_set("TypeError",
                               "%s %zu is %s, which cannot be a value outside of the module: "
                               "export a function over i32, i64, f32, f64 and v128",
                               what, i + 1, value_type_name(from->data[i]));
    return true;
}

bool export_type_take(const wasm_functype *from, const char *name, void *into)
{
    struct export_type *type = into;
    (void)name;
    return take_kinds(wasmtime.wasm_functype_params(from), "parameter", type->parameters,
                      &type->parameter_count) &&
           take_kinds(wasmtime.wasm_functype_results(from), "result", type->results,
                      &type->result_count);
}

bool export_type_is_of_numbers(const struct export_type *type)
{
    bool numbers = type->result_count == 1 && type->results[0] != WASM_V128 &&
                   type->parameter_count <= MAX_PARAMETERS;
    for (size_t i = 0; i < type->parameter_count && numbers; i++)
        numbers = type->parameters[i] != WASM_V128;
    return numbers;
}

/* ---- Signatures that are not declared ---- */

static enum storage storage_of(enum wasm_kind kind)
{
    return kind == WASM_V128 ? STORAGE_BYTES32 : number_kinds[kind].storage;
}

/* Makes the type of several results: struct<0: ..., 1: ...>. It is kept. */
static struct type *fields_of(const struct export_type *type)
{
    struct type *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    type_give_children(made, STORAGE_STRUCT, type->result_count);
    for (size_t i = 0; i < type->result_count; i++) {
        char name[24];
        type_give_name(&made->children[i], name, (size_t)snprintf(name, sizeof name, "%zu", i));
        made->children[i].storage = storage_of(type->results[i]);
    }
    return made;
}

void export_type_describe(const struct export_type *type, struct signature *signature)
{
    struct slot *result = &signature->result;
    memset(signature, 0, sizeof *signature);
    memcpy(result->name, "result", sizeof "result");
    if (type->result_count == 0) { /* always null */
        result->storage = STORAGE_BOOL;
        result->nullable = true;
    } else if (type->result_count > 1) {
        result->storage = STORAGE_STRUCT;
        result->type = fields_of(type);
    } else {
        result->storage = storage_of(type->results[0]);
    }
    signature->count = type->parameter_count < MAX_PARAMETERS ? type->parameter_count
                                                              : MAX_PARAMETERS;
    for (size_t i = 0; i < signature->count; i++) {
        struct slot *slot = &signature->parameters[i];
        slot->storage = storage_of(type->parameters[i]);
        snprintf(slot->name, sizeof slot->name, "a%zu", i);
    }
}

struct signature export_type_of_nothing(const struct signature *signature)
{
    struct signature made = *signature;
    made.result = (struct slot){ .storage = STORAGE_BOOL, .nullable = true, .name = "result" };
    return made;
}

/* ---- Plans ---- */

static bool is_bytes(const struct slot *slot)
{
    return slot->storage == STORAGE_TEXT32 || slot->storage == STORAGE_BYTES32;
}

/* Returns true if there are so many i32 from an index on. */
static bool has_words(const struct export_type *type, size_t at, size_t count)
{
    bool words = at + count <= type->parameter_count;
    for (size_t i = 0; i < count && words; i++)
        words = type->parameters[at + i] == WASM_I32;
    return words;
}

static bool refuse(const char *what, const char *needs)
{
    return failure_set("TypeError", "%s needs %s in the module", what, needs);
}

/* Plans a parameter, and moves *at past its values in the module. */
static bool plan_parameter(struct export_plan *plan, const struct export_type *type, size_t index,
                           const struct slot *slot, size_t *at)
{
    const size_t left = type->parameter_count - *at;
    if (left == 0)
        return refuse(slot->name, "one more parameter");
    const enum wasm_kind kind = type->parameters[*at];
    plan->parameters[index] = EXPORT_NUMBER;
    if (slot->storage == STORAGE_BYTES32 && kind == WASM_V128)
        plan->parameters[index] = EXPORT_VECTOR;
    else if (is_bytes(slot))
        plan->parameters[index] = EXPORT_BYTES;
    if (plan->parameters[index] == EXPORT_BYTES) {
        if (!has_words(type, *at, plan->words))
            return refuse(slot->name, plan->words == 1 ? "an i32, the address of an object,"
                                                       : "two i32, address and length,");
        *at += plan->words;
        return true;
    }
    (*at)++;
    if (slot->nullable)
        return failure_set(
            "TypeError",
            "%s: a number in Wasm is never null, so no parameter may be declared with ?",
            slot->name);
    if (plan->parameters[index] == EXPORT_NUMBER && kind == WASM_V128)
        return refuse(slot->name, "blob for its v128");
    return plan->parameters[index] == EXPORT_VECTOR || number_fits(slot->name, slot, kind);
}

/* Finds the form of text or bytes that are one result. Returns EXPORT_NOTHING if there is none. */
static enum export_form form_of(enum wasm_kind kind, bool text, enum memory_form memory)
{
    if (kind == WASM_I64)
        return EXPORT_PACKED;
    if (kind == WASM_V128)
        return text ? EXPORT_NOTHING : EXPORT_VECTOR;
    if (kind != WASM_I32)
        return EXPORT_NOTHING;
    if (memory == MEMORY_SCRIPT)
        return EXPORT_OBJECT;
    return text ? EXPORT_TERMINATED : EXPORT_NOTHING;
}

/* Address and length, behind which wasm-bindgen may have an error and whether it is one. */
static bool is_pair(const struct export_type *type, enum memory_form memory)
{
    bool words = type->result_count == 2 || (type->result_count == 4 && memory == MEMORY_BINDGEN);
    for (size_t i = 0; i < type->result_count && words; i++)
        words = type->results[i] == WASM_I32;
    return words;
}

static bool plan_bytes(struct export_plan *plan, const struct export_type *type,
                       const struct slot *slot, const struct module_memory *memory)
{
    const bool text = slot->storage == STORAGE_TEXT32;
    plan->result = EXPORT_NOTHING;
    if (type->result_count == 0)
        plan->result = EXPORT_STORED;
    else if (type->result_count == 1)
        plan->result = form_of(type->results[0], text, memory->form);
    else if (is_pair(type, memory->form))
        plan->result = EXPORT_PAIR;
    return plan->result != EXPORT_NOTHING ||
           refuse("the result", text ? "an i32 (the address of text that ends with NUL), two i32 "
                                       "(address and length), or both in an i64,"
                                     : "two i32 (address and length), both in an i64, v128, or the "
                                       "i32 of AssemblyScript with --exportRuntime,");
}

static bool plan_fields(const struct export_type *type, const struct type *declared)
{
    if (declared->count != type->result_count)
        return failure_set("TypeError",
                           "the function has %zu results where the struct of the signature has %zu",
                           type->result_count, declared->count);
    for (size_t i = 0; i < declared->count; i++) {
        const struct slot slot = { .storage = declared->children[i].storage };
        if (type->results[i] == WASM_V128 && slot.storage != STORAGE_BYTES32)
            return refuse(declared->children[i].name, "blob for its v128");
        if (type->results[i] != WASM_V128 &&
            !number_fits(declared->children[i].name, &slot, type->results[i]))
            return false;
    }
    return true;
}

static bool plan_result(struct export_plan *plan, const struct export_type *type,
                        const struct slot *slot, const struct module_memory *memory)
{
    if (is_bytes(slot))
        return plan_bytes(plan, type, slot, memory);
    if (slot->storage == STORAGE_STRUCT) {
        plan->result = EXPORT_FIELDS;
        return plan_fields(type, slot->type);
    }
    if (type->result_count == 0) {
        plan->result = EXPORT_NOTHING;
        return slot->nullable ||
               failure_set("TypeError", "the function returns nothing, which is null: declare the "
                                        "result with ?");
    }
    plan->result = EXPORT_NUMBER;
    if (type->result_count > 1)
        return refuse("the result", "a struct for the several results");
    return type->results[0] == WASM_V128 ? refuse("the result", "blob for its v128")
                                         : number_fits("the result", slot, type->results[0]);
}

/* Makes a plan, as export_plan_make() does. */
static bool make_plan(struct export_plan *plan, const struct export_type *type,
                      const struct signature *signature, const struct module_memory *memory)
{
    size_t at = 0;
    plan->words = memory->form == MEMORY_SCRIPT ? 1 : 2;
    if (!plan_result(plan, type, &signature->result, memory))
        return false;
    if (plan->result == EXPORT_STORED) {
        if (!has_words(type, at++, 1))
            return refuse("the result", "a result, or a first parameter that points to it,");
        plan->allocates = true;
    }
    for (size_t i = 0; i < signature->count; i++) {
        if (!plan_parameter(plan, type, i, &signature->parameters[i], &at))
            return false;
        plan->allocates |= plan->parameters[i] == EXPORT_BYTES;
    }
    if (at != type->parameter_count)
        return failure_set("TypeError",
                           "the function has %zu parameters in the module, of which the signature "
                           "declares %zu",
                           type->parameter_count, at);
    return true;
}

static bool has_text(const struct signature *signature)
{
    bool text = false;
    for (size_t i = 0; i < signature->count && !text; i++)
        text = signature->parameters[i].storage == STORAGE_TEXT32;
    return text;
}

static void write_kinds(const char *label, const enum wasm_kind *kinds, size_t count,
                        struct bytes *to)
{
    bytes_text(to, count > 0 ? " (" : "");
    bytes_text(to, count > 0 ? label : "");
    for (size_t i = 0; i < count; i++) {
        bytes_text(to, " ");
        bytes_text(to, value_kind_name(kinds[i]));
    }
    bytes_text(to, count > 0 ? ")" : "");
}

void export_type_write(const struct export_type *type, struct bytes *to)
{
    bytes_text(to, "(func");
    write_kinds("param", type->parameters, type->parameter_count, to);
    write_kinds("result", type->results, type->result_count, to);
    bytes_put(to, ")", 2);
    to->length--;
}

bool export_plan_make(struct export_plan *plan, const struct export_type *type,
                      const struct signature *signature, const struct module_memory *memory)
{
    plan->allocates = has_text(signature);
    if (plan->allocates && !module_memory_can_allocate(memory))
        return false;
    if (make_plan(plan, type, signature, memory))
        return !plan->allocates || module_memory_can_allocate(memory);
    if (type->parameter_count > MAX_PARAMETERS && !plan->allocates)
        return failure_set("TypeError", "the function has %zu parameters, and a UDF at most %d",
                           type->parameter_count, MAX_PARAMETERS);
    struct bytes is = { 0 };
    bytes_text(&is, ", which has it as ");
    export_type_write(type, &is);
    failure_explain("", (const char *)is.at);
    bytes_free(&is);
    return false;
}
