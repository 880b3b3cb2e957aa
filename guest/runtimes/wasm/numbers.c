/* Exported functions over numbers: see numbers.h. A loop in Wasm computes the rows in blocks. */
#include "wasm/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/export_function.h"
#include "wasm/interface.h"
#include "wasm/number_loop.h"
#include "wasm/number_value.h"
#include "wasm/standard_error.h"

struct numbers {
    const struct signature *signature;
    struct number_type type;
    struct wasm_module module;
    struct number_loop loop;
};

/* ---- The function's type ---- */

static void take_type(const struct export_type *from, struct number_type *type)
{
    type->count = from->parameter_count;
    type->result = from->results[0];
    memcpy(type->parameters, from->parameters, type->count * sizeof *type->parameters);
}

/* Returns true if the loop over numbers can run the function. */
static bool is_of_numbers(const struct export_type *type, const struct load *load)
{
    bool numbers = export_type_is_of_numbers(type);
    if (!load->declared)
        return numbers;
    numbers = numbers && load->signature.result.storage <= STORAGE_FLOAT64;
    for (size_t i = 0; i < load->signature.count && numbers; i++)
        numbers = load->signature.parameters[i].storage <= STORAGE_FLOAT64;
    return numbers;
}

static void describe(const struct number_type *type, struct signature *signature)
{
    signature->count = type->count;
    signature->result = (struct slot){ .storage = number_kinds[type->result].storage,
                                       .name = "result" };
    for (size_t i = 0; i < type->count; i++) {
        signature->parameters[i] = (struct slot){
            .storage = number_kinds[type->parameters[i]].storage
        };
        snprintf(signature->parameters[i].name, sizeof signature->parameters[i].name, "a%zu", i);
    }
}

static bool check_declared(const struct signature *declared, const struct number_type *type)
{
    if (declared->count != type->count)
        return failure_set("TypeError",
                           "the function has %zu parameters where the signature declares %zu",
                           type->count, declared->count);
    for (size_t i = 0; i < type->count; i++) {
        if (!number_fits(declared->parameters[i].name, &declared->parameters[i],
                         type->parameters[i]))
            return false;
        if (declared->parameters[i].nullable)
            return failure_set(
                "TypeError",
                "%s: a number in Wasm is never null, so no parameter may be declared with ?",
                declared->parameters[i].name);
    }
    return number_fits("the result", &declared->result, type->result);
}

/* ---- Batches ---- */

/* Returns true if the bytes of rows in the storage equal those of values of the kind. */
static bool is_stored_alike(enum storage storage, enum wasm_kind kind)
{
    switch (kind) {
    case WASM_I32:
        return storage == STORAGE_INT32 || storage == STORAGE_UINT32;
    case WASM_I64:
        return storage == STORAGE_INT64 || storage == STORAGE_UINT64;
    case WASM_F32:
        return storage == STORAGE_FLOAT32;
    default:
        return storage == STORAGE_FLOAT64;
    }
}

/* Gathers one column of the rows [begin, end) that are not null. Returns `end`, or the row that
 * does not fit, with a failure. */
static int64_t gather(const struct numbers *numbers, size_t index, const struct column *column,
                      const struct block *block, int64_t begin, int64_t end, bool skips,
                      uint8_t *to)
{
    const enum wasm_kind kind = numbers->type.parameters[index];
    const size_t width = number_kinds[kind].width;
    const bool stored_alike = is_stored_alike(column->storage, kind);
    if (stored_alike && !skips) {
        memcpy(to, column->data + (size_t)begin * width, (size_t)(end - begin) * width);
        return end;
    }
    for (int64_t row = begin; row < end; row++) {
        if (skips && !block_is_valid(block, row))
            continue;
        if (stored_alike)
            memcpy(to, column->data + (size_t)row * width, width);
        else if (!number_put(column, row, kind, to)) {
            failure_of_argument(index + 1);
            return row;
        }
        to += width;
    }
    return end;
}

/* Scatters the results to their rows. Returns `end`, or the row whose result does not fit. */
static int64_t scatter(const struct numbers *numbers, struct block *block, int64_t begin,
                       int64_t end, bool skips, const uint8_t *from)
{
    const enum wasm_kind kind = numbers->type.result;
    const size_t width = number_kinds[kind].width;
    if (!skips && is_stored_alike(block->storage, kind)) {
        memcpy(block->output + block->data + (size_t)begin * width, from,
               (size_t)(end - begin) * width);
        return end;
    }
    for (int64_t row = begin; row < end; row++) {
        struct scalar scalar = { .integer = 0 };
        if (!skips || block_is_valid(block, row)) {
            if (!number_take(block->storage, kind, from, &scalar))
                return row;
            from += width;
        }
        block_put(block, row, &scalar); /* cannot fail, because numbers have a fixed size */
    }
    return end;
}

static int64_t count_valid(const struct block *block, int64_t begin, int64_t end)
{
    int64_t valid = 0;
    for (int64_t row = begin; row < end; row++)
        valid += block_is_valid(block, row);
    return valid;
}

/* Returns the nth row of a block that is not null. */
static int64_t nth_valid(const struct block *block, int64_t begin, int64_t end, bool skips,
                         int64_t number)
{
    for (int64_t row = begin; skips && row < end; row++)
        if (block_is_valid(block, row) && number-- == 0)
            return row;
    return begin + number;
}

/* Runs the rows [begin, end). Returns `end`, or the row that failed. */
static int64_t run_block(const struct numbers *numbers, const struct column *columns,
                         struct block *block, int64_t begin, int64_t end, bool skips)
{
    uint8_t *memory = number_loop_memory(&numbers->loop);
    const int64_t rows = skips ? count_valid(block, begin, end) : end - begin;
    int64_t failed = end;
    for (size_t i = 0; i < numbers->type.count; i++) {
        const int64_t row = gather(numbers, i, &columns[i], block, begin, end, skips,
                                   memory + NUMBER_LOOP_OFFSET(i));
        if (row < end)
            return row;
    }
    if (rows > 0) {
        const int64_t done = number_loop_run(&numbers->loop, rows);
        failed = done < rows ? nth_valid(block, begin, end, skips, done) : end;
    }
    return failed < end ? failed
                        : scatter(numbers, block, begin, end, skips,
                                  memory + NUMBER_LOOP_OFFSET(numbers->type.count));
}

static int64_t run_numbers(void *context, const struct column *columns, struct block *block,
                           int64_t rows, bool skips)
{
    standard_error_begin();
    for (int64_t begin = 0; begin < rows; begin += NUMBER_LOOP_ROWS) {
        const int64_t end = rows - begin < NUMBER_LOOP_ROWS ? rows : begin + NUMBER_LOOP_ROWS;
        const int64_t done = run_block(context, columns, block, begin, end, skips);
        if (done < end)
            return done;
    }
    return rows;
}

bool numbers_prepare(struct program *program, const struct load *load,
                     const struct wasm_module *module, struct signature *found)
{
    struct export_type type;
    if (!module_function(module->module, load->name, export_type_take, &type))
        return false;
    if (!is_of_numbers(&type, load))
        return export_function_prepare(program, load, module, &type, found);
    struct numbers *numbers = calloc(1, sizeof *numbers);
    if (!numbers)
        abort();
    numbers->module = *module;
    numbers->signature = &program->signature;
    take_type(&type, &numbers->type);
    if ((load->declared && !check_declared(&load->signature, &numbers->type)) ||
        !number_loop_make(&numbers->loop, module, load->name, &numbers->type)) {
        free(numbers);
        return false;
    }
    if (load->declared)
        *found = load->signature;
    else
        describe(&numbers->type, found);
    program->run = run_numbers;
    program->by_row = true;
    program->context = numbers;
    return true;
}
