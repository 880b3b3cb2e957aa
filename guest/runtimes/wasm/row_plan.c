/* See row_plan.h. A column of text or bytes is an address and a length, both i32, or an object of
 * AssemblyScript; any other is a number, or bytes that are a v128. */
#include "wasm/row_plan.h"

#include <stdio.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "utf8.h"
#include "wasm/emitter.h"
#include "wasm/number_value.h"
#include "wasm/value_type.h"

static size_t column_count(const struct slot *row)
{
    return row->storage == STORAGE_STRUCT ? row->type->count : 1;
}

static struct slot column_at(const struct slot *row, size_t index)
{
    return row->storage == STORAGE_STRUCT
               ? (struct slot){ .storage = row->type->children[index].storage }
               : *row;
}

static const char *column_name(const struct slot *row, size_t index)
{
    return row->storage == STORAGE_STRUCT ? row->type->children[index].name : "the row";
}

/* ---- Types ---- */

/* Returns how many values a column has, of which the first has a kind; 0, with a failure, if it
 * cannot be such a value. */
static size_t width_of(const struct slot *row, size_t index, bool script, enum wasm_kind kind)
{
    const struct slot column = column_at(row, index);
    const char *name = column_name(row, index);
    if (column.storage == STORAGE_BYTES32 && kind == WASM_V128)
        return 1;
    if (column.storage == STORAGE_TEXT32 || column.storage == STORAGE_BYTES32) {
        if (kind != WASM_I32)
            failure_set("TypeError", "%s needs %s", name,
                        script ? "an i32, the address of an object"
                               : "two i32, address and length");
        return kind != WASM_I32 ? 0 : script ? 1 : 2;
    }
    if (kind == WASM_V128)
        failure_set("TypeError", "%s is v128: declare blob", name);
    return kind != WASM_V128 && number_fits(name, &column, kind);
}

/* Checks values of these kinds. Returns false with a failure if they are no row. */
static bool fits(const struct slot *row, bool script, const enum wasm_kind *kinds, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < column_count(row); i++) {
        if (at >= count)
            return failure_set("TypeError", "%s needs one more value", column_name(row, i));
        const size_t width = width_of(row, i, script, kinds[at]);
        if (width == 0)
            return false;
        if (width == 2 && (at + 1 >= count || kinds[at + 1] != WASM_I32))
            return failure_set("TypeError", "%s needs two i32, address and length",
                               column_name(row, i));
        at += width;
    }
    return at == count ||
           failure_set("TypeError", "it has %zu values, of which a row has %zu", count, at);
}

/* Finds the import of a function's rows. Returns false if there is none. */
static bool find_import(const wasmtime_module *module, const char *function,
                        struct export_type *found)
{
    wasm_importtypes imports;
    bool there = false;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size && !there; i++) {
        const struct import_name import = { wasmtime.wasm_importtype_module(imports.data[i]),
                                            wasmtime.wasm_importtype_name(imports.data[i]) };
        const wasm_externtype *what = wasmtime.wasm_importtype_type(imports.data[i]);
        there = emitter_is(&import, function) &&
                wasmtime.wasm_externtype_kind(what) == WASM_EXTERN_FUNC &&
                export_type_take(wasmtime.wasm_externtype_as_functype_const(what), "", found);
    }
    wasmtime.wasm_importtype_vec_delete(&imports);
    return there;
}

bool row_plan_is_there(const wasmtime_module *module, const char *function)
{
    struct export_type found;
    return find_import(module, function, &found);
}

bool row_plan_find(const wasmtime_module *module, const char *function, const struct slot *row,
                   bool script, struct export_type *found)
{
    if (!find_import(module, function, found))
        return failure_set("TypeError",
                           "a table function passes its rows to an import, udfvm.emit_%s, which "
                           "the module does not have",
                           function);
    if (row && !fits(row, script, found->parameters, found->parameter_count))
        return failure_explain("it emits what is no such row: ", "");
    return found->parameter_count > 0 ||
           failure_set("TypeError", "the import udfvm.emit_%s takes nothing, and a row has a value",
                       function);
}

void row_plan_describe(const struct export_type *type, struct slot *row)
{
    struct export_type results = { .result_count = type->parameter_count };
    struct signature signature;
    memcpy(results.results, type->parameters, sizeof results.results);
    export_type_describe(&results, &signature);
    *row = signature.result;
}

/* ---- Values ---- */

/* Finds text or bytes. Returns NULL with a failure. */
static const uint8_t *find_bytes(const struct linear *linear, bool script, bool text,
                                 const wasmtime_val *values, uint32_t *length)
{
    const uint32_t address = (uint32_t)values[0].of.i32;
    const uint8_t *bytes;
    if (script) {
        bytes = script_object(linear, address, length);
        if (bytes && !script_is(linear, address, text ? SCRIPT_TEXT : SCRIPT_BUFFER)) {
            failure_set("TypeError", "is no %s", text ? "string" : "ArrayBuffer");
            return NULL;
        }
    } else {
        *length = (uint32_t)values[1].of.i32;
        bytes = linear_at(linear, address, *length);
    }
    if (!bytes)
        failure_set("ValueError",
                    "is not in the module's memory (an export \"memory\"): address "
                    "%u, length %u",
                    address, *length);
    return bytes;
}

static bool append_bytes(const struct linear *linear, bool script, const wasmtime_val *values,
                         struct builder *builder)
{
    const bool text = storage_is_text(builder->type->storage);
    struct bytes made = { 0 };
    uint32_t length = 0;
    if (values[0].of.i32 == 0) {
        builder_null(builder);
        return true;
    }
    const uint8_t *bytes = find_bytes(linear, script, text, values, &length);
    if (!bytes)
        return false;
    size_t size = length;
    if (script && text) {
        utf16_to_utf8(bytes, length, &made);
        bytes = made.at;
        size = made.length;
    }
    bool done = !text || utf8_is_valid(bytes, size) ||
                failure_set("UnicodeDecodeError", "is text that is not valid UTF-8");
    done = done && (builder_bytes(builder, bytes, size) ||
                    failure_set("OverflowError", "is too large for a column"));
    bytes_free(&made);
    return done;
}

static bool append_number(const wasmtime_val *value, struct builder *builder)
{
    const enum storage storage = builder->type->storage;
    struct scalar scalar = { .null = false };
    if (!number_take(storage, (enum wasm_kind)value->kind, (const uint8_t *)&value->of, &scalar))
        return failure_set("OverflowError", "is %lld, which its type cannot hold",
                           (long long)scalar.integer);
    const float narrow = storage == STORAGE_FLOAT32 ? (float)scalar.real : 0;
    builder_number(builder, storage == STORAGE_FLOAT32 ? (const void *)&narrow : &scalar.integer);
    return true;
}

static bool append(const struct linear *linear, bool script, const wasmtime_val *values,
                   struct builder *builder)
{
    if (!storage_is_variable(builder->type->storage))
        return append_number(values, builder);
    if (values[0].kind == WASM_V128)
        return builder_bytes(builder, &values[0].of, VECTOR_BYTES);
    return append_bytes(linear, script, values, builder);
}

bool row_plan_append(const struct slot *row, bool script, const struct linear *linear,
                     const wasmtime_val *values, size_t count, struct builder *builder)
{
    enum wasm_kind kinds[MAX_EXPORT_VALUES];
    char prefix[160];
    for (size_t i = 0; i < count && i < MAX_EXPORT_VALUES; i++)
        kinds[i] = (enum wasm_kind)values[i].kind;
    if (count > MAX_EXPORT_VALUES || !fits(row, script, kinds, count))
        return failure_explain("it emits what is no such row: ", "");
    const bool whole = row->storage == STORAGE_STRUCT;
    if (whole)
        builder_struct(builder);
    for (size_t i = 0; i < column_count(row); i++) {
        struct builder *column = whole ? &builder->children[i] : builder;
        if (!append(linear, script, values, column)) {
            snprintf(prefix, sizeof prefix, "of the row that it emits, %s ", column_name(row, i));
            return failure_explain(prefix, "");
        }
        values += width_of(row, i, script, (enum wasm_kind)values[0].kind);
    }
    return true;
}
