/* See export_call.h. */
#include "wasm/export_call.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"
#include "utf8.h"
#include "wasm/bindgen_import.h"
#include "wasm/number_value.h"
#include "wasm/standard_error.h"
#include "wasm/wasmtime_failure.h"

/* Words of a result in memory: address and length, and for wasm-bindgen an error of JavaScript,
 * and whether it is one. */
enum { ADDRESS, LENGTH, FAULT, IS_FAULT, WORDS };
#define STORED_BYTES (WORDS * sizeof(uint32_t))

const struct states no_states = { .count = 0 };

/* ---- Arguments ---- */

static void put_word(struct export_call *call, uint32_t word)
{
    call->arguments[call->count++] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = (int32_t)word };
}

static bool put_bytes(const struct exported *function, struct export_call *call,
                      const struct column *column, int64_t row)
{
    struct lent lent = { 0, 0 };
    if (!column_is_null(column, row)) {
        const struct scalar bytes = column_bytes(column, row);
        lent.length = bytes.length;
        if (!module_memory_put(&function->memory, bytes.bytes, storage_is_text(column->storage),
                               &lent.length, &lent.address))
            return false;
        call->lent[call->lent_count++] = lent;
    }
    put_word(call, lent.address);
    if (function->plan.words == 2)
        put_word(call, (uint32_t)lent.length);
    return true;
}

static bool put_vector(struct export_call *call, const struct column *column, int64_t row)
{
    const struct scalar bytes = column_bytes(column, row);
    wasmtime_val *value = &call->arguments[call->count++];
    *value = (wasmtime_val){ .kind = WASM_V128 };
    if (bytes.length != VECTOR_BYTES)
        return failure_set("ValueError", "has %zu bytes, and a v128 has %d", bytes.length,
                           VECTOR_BYTES);
    memcpy(&value->of, bytes.bytes, VECTOR_BYTES);
    return true;
}

static bool put_argument(const struct exported *function, struct export_call *call, size_t states,
                         size_t index, const struct column *column, int64_t row)
{
    wasmtime_val *value = &call->arguments[call->count];
    switch (function->plan.parameters[index]) {
    case EXPORT_BYTES:
        return put_bytes(function, call, column, row);
    case EXPORT_VECTOR:
        return put_vector(call, column, row);
    default:
        value->kind = (uint8_t)function->type.parameters[call->count++ - states];
        return number_put(column, row, (enum wasm_kind)value->kind, (uint8_t *)&value->of);
    }
}

/* Makes room for the result, and passes its address. */
static bool put_stored(const struct exported *function, struct export_call *call)
{
    if (!module_memory_allocate(&function->memory, STORED_BYTES, &call->stored))
        return false;
    const struct linear linear = module_memory_linear(&function->memory);
    memset(linear_at(&linear, call->stored, STORED_BYTES), 0, STORED_BYTES);
    put_word(call, call->stored);
    return true;
}

/* Where the module cannot take what it is given, that is no fault of the argument. */
static bool put_arguments(const struct exported *function, struct export_call *call,
                          const struct states *states, const struct column *columns, int64_t row)
{
    if (function->plan.result == EXPORT_STORED && !put_stored(function, call))
        return false;
    for (size_t i = 0; i < states->count; i++)
        call->arguments[call->count++] = *states->values[i];
    for (size_t i = 0; i < function->signature.count; i++)
        if (!put_argument(function, call, states->count, i, &columns[i], row)) {
            if (function->plan.parameters[i] != EXPORT_BYTES)
                failure_of_argument(i + 1);
            return false;
        }
    return true;
}

/* Calls the function without checks of types: the plan has made sure of those. */
static wasmtime_error *enter(const struct exported *function, struct export_call *call,
                             wasm_trap **trap)
{
    wasmtime_raw values[MAX_EXPORT_VALUES];
    const size_t results = function->result_count;
    for (size_t i = 0; i < call->count; i++)
        memcpy(&values[i], &call->arguments[i].of, sizeof values[i]);
    wasmtime_error *error = wasmtime.wasmtime_func_call_unchecked(
        function->memory.context, &function->function, values,
        call->count > results ? call->count : results, trap);
    for (size_t i = 0; i < results && !error && !*trap; i++) {
        call->results[i].kind = (uint8_t)function->result_kinds[i];
        memcpy(&call->results[i].of, &values[i], sizeof values[i]);
    }
    return error;
}

bool export_call_run(const struct exported *function, struct export_call *call,
                     const struct states *states, const struct column *columns, int64_t row)
{
    wasm_trap *trap = NULL;
    call->count = call->lent_count = 0;
    row_begin();
    standard_error_begin();
    bindgen_begin();
    if (!put_arguments(function, call, states, columns, row))
        return false;
    wasmtime_error *error = enter(function, call, &trap);
    return !wasmtime_failed("RuntimeError", error, trap);
}

/* ---- Results ---- */

static bool outside(uint32_t address, uint32_t length)
{
    return failure_set("ValueError",
                       "the function returned text or bytes that are not in the module's memory: "
                       "address %u, length %u",
                       address, length);
}

/* Takes the words that the function stored or returned. */
static void take_words(const struct exported *function, const struct export_call *call,
                       uint32_t words[WORDS])
{
    const struct linear linear = module_memory_linear(&function->memory);
    const wasmtime_val *results = call->results;
    const uint8_t *stored;
    memset(words, 0, WORDS * sizeof *words);
    switch (function->plan.result) {
    case EXPORT_PAIR:
        for (size_t i = 0; i < function->type.result_count && i < WORDS; i++)
            words[i] = (uint32_t)results[i].of.i32;
        break;
    case EXPORT_PACKED:
        words[ADDRESS] = (uint32_t)((uint64_t)results[0].of.i64 >> 32);
        words[LENGTH] = (uint32_t)results[0].of.i64;
        break;
    case EXPORT_STORED:
        stored = linear_at(&linear, call->stored, STORED_BYTES);
        if (stored)
            memcpy(words, stored, STORED_BYTES);
        break;
    default:
        words[ADDRESS] = (uint32_t)results[0].of.i32;
    }
}

/* Finds where a result lies; an address of 0 is null. Returns false with the failure that it is. */
static bool find_place(const struct exported *function, const struct export_call *call,
                       struct lent *place)
{
    uint32_t words[WORDS];
    take_words(function, call, words);
    *place = (struct lent){ words[ADDRESS], words[LENGTH] };
    return function->memory.form != MEMORY_BINDGEN || words[IS_FAULT] == 0 || bindgen_fail();
}

/* Finds the length of text that ends with a NUL. */
static bool measure(const struct linear *linear, struct lent *place)
{
    const uint8_t *text = linear_at(linear, place->address, 1);
    const uint8_t *end = text ? memchr(text, 0, linear->size - place->address) : NULL;
    if (!end)
        return outside(place->address, 1);
    place->length = (size_t)(end - text);
    return true;
}

/* Returns false with a failure for an object of AssemblyScript that is not what is declared. */
static bool check_class(const struct linear *linear, uint32_t address, uint32_t class)
{
    uint32_t length;
    return !script_object(linear, address, &length) || script_is(linear, address, class) ||
           failure_set("TypeError", "the function returned an object that is no %s: %s",
                       class == SCRIPT_TEXT ? "string" : "ArrayBuffer",
                       script_is(linear, address, SCRIPT_TEXT)     ? "declare text"
                       : script_is(linear, address, SCRIPT_BUFFER) ? "declare blob"
                       : class == SCRIPT_TEXT ? "return a string"
                                              : "return the buffer of an array (array.buffer)");
}

/* Copies the text or bytes of a result. Returns false with a failure. */
static bool copy_bytes(struct exported *function, struct lent *place)
{
    const struct linear linear = module_memory_linear(&function->memory);
    const bool text = storage_is_text(function->signature.result.storage);
    uint32_t length = (uint32_t)place->length;
    const uint8_t *bytes;
    function->made.length = 0;
    if (function->plan.result == EXPORT_TERMINATED && !measure(&linear, place))
        return false;
    if (function->plan.result == EXPORT_OBJECT &&
        !check_class(&linear, place->address, text ? SCRIPT_TEXT : SCRIPT_BUFFER))
        return false;
    if (function->plan.result == EXPORT_OBJECT)
        bytes = script_object(&linear, place->address, &length);
    else
        bytes = linear_at(&linear, place->address, length = (uint32_t)place->length);
    if (!bytes)
        return outside(place->address, length);
    if (text && function->plan.result == EXPORT_OBJECT)
        utf16_to_utf8(bytes, length, &function->made);
    else
        bytes_put(&function->made, bytes, length);
    if (text && !utf8_is_valid(function->made.at, function->made.length))
        return failure_set(
            "UnicodeDecodeError",
            "the text that the function returned is not valid UTF-8: declare a blob");
    return true;
}

static bool take_bytes(struct exported *function, const struct export_call *call,
                       struct scalar *scalar)
{
    struct lent place;
    if (!find_place(function, call, &place))
        return false;
    scalar->null = place.address == 0 && function->signature.result.nullable;
    if (!scalar->null && !copy_bytes(function, &place))
        return false;
    if (place.address != 0 && function->memory.form == MEMORY_BINDGEN &&
        function->plan.result != EXPORT_TERMINATED &&
        !module_memory_release(&function->memory, place.address, place.length))
        return false;
    scalar->bytes = (const char *)function->made.at;
    scalar->length = function->made.length;
    return true;
}

bool export_call_take(struct exported *function, const struct export_call *call,
                      enum storage storage, struct scalar *scalar)
{
    *scalar = (struct scalar){ .null = false };
    switch (function->plan.result) {
    case EXPORT_NOTHING:
        scalar->null = true;
        return true;
    case EXPORT_VECTOR:
        scalar->bytes = (const char *)&call->results[0].of;
        scalar->length = VECTOR_BYTES;
        return true;
    case EXPORT_NUMBER:
        return number_take(storage, function->type.results[0],
                           (const uint8_t *)&call->results[0].of, scalar);
    default:
        return take_bytes(function, call, scalar);
    }
}

/* ---- Appending results ---- */

static bool too_large(void)
{
    return failure_set("OverflowError", "the results of this batch are too large for one column");
}

static bool append_scalar(const struct scalar *scalar, struct builder *builder)
{
    const enum storage storage = builder->type->storage;
    const float narrow = storage == STORAGE_FLOAT32 ? (float)scalar->real : 0;
    if (scalar->null)
        builder_null(builder);
    else if (storage_is_variable(storage))
        return builder_bytes(builder, scalar->bytes, scalar->length) || too_large();
    else
        builder_number(builder,
                       storage == STORAGE_FLOAT32 ? (const void *)&narrow : &scalar->integer);
    return true;
}

static bool append_field(const struct exported *function, const struct export_call *call,
                         size_t index, struct builder *builder)
{
    struct scalar scalar = { .bytes = (const char *)&call->results[index].of,
                             .length = VECTOR_BYTES };
    return (function->type.results[index] == WASM_V128 ||
            number_take(builder->type->storage, function->type.results[index],
                        (const uint8_t *)&call->results[index].of, &scalar)) &&
           append_scalar(&scalar, builder);
}

bool export_call_append(struct exported *function, const struct export_call *call,
                        struct builder *builder)
{
    struct scalar scalar;
    if (function->plan.result != EXPORT_FIELDS)
        return export_call_take(function, call, builder->type->storage, &scalar) &&
               append_scalar(&scalar, builder);
    builder_struct(builder);
    for (size_t i = 0; i < function->type.result_count; i++)
        if (!append_field(function, call, i, &builder->children[i]))
            return false;
    return true;
}

/* Frees what the function got. That of wasm-bindgen has freed it. */
bool export_call_end(const struct exported *function, const struct export_call *call)
{
    bool done = true;
    for (size_t i = 0; i < call->lent_count && done; i++)
        done = function->memory.form == MEMORY_BINDGEN ||
               module_memory_release(&function->memory, call->lent[i].address,
                                     call->lent[i].length);
    if (done && function->plan.result == EXPORT_STORED)
        done = module_memory_release(&function->memory, call->stored, STORED_BYTES);
    return done;
}
