/* Exported functions over numbers: see numbers.h.
 *
 * A call from the host into Wasm costs tens of nanoseconds, one from Wasm to Wasm a few. So a
 * second module, made here for the function's type, holds the loop: it takes the arguments of a
 * block of rows from its memory, calls, and stores the results there. */
#include "wasm/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/interface.h"
#include "wasm/wasmtime_failure.h"
#include "wasm/standard_error.h"

#define BLOCK                 1024 /* rows */
#define COLUMN_OFFSET(COLUMN) ((size_t)(COLUMN) * BLOCK * 8)
#define WASM_PAGE             65536

static const struct {
    const char *name;
    size_t width;
    enum storage storage;
} kinds[] = {
    [WASM_I32] = { "i32", 4, STORAGE_INT32 },
    [WASM_I64] = { "i64", 8, STORAGE_INT64 },
    [WASM_F32] = { "f32", 4, STORAGE_FLOAT32 },
    [WASM_F64] = { "f64", 8, STORAGE_FLOAT64 },
};

struct function_type {
    size_t count;
    enum wasm_kind result, parameters[MAX_PARAMETERS];
};

struct numbers {
    const struct signature *signature;
    struct function_type type;
    struct wasm_module module;
    wasmtime_instance loop;
    wasmtime_func run;
    wasmtime_global row;
    wasmtime_memory memory;
};

/* ---- The function's type ---- */

static bool take_kind(const wasm_valtype *from, enum wasm_kind *kind)
{
    for (int number = WASM_I32; number <= WASM_F64;
         number++) { /* wasm_valtype_kind() aborts the program where it is v128 */
        wasm_valtype *type = wasmtime.wasm_valtype_new((uint8_t)number);
        const bool equal = wasmtime.wasmtime_wasm_valtype_equal(from, type);
        wasmtime.wasm_valtype_delete(type);
        *kind = (enum wasm_kind)number;
        if (equal)
            return true;
    }
    return false;
}

static bool take_type(const wasm_functype *from, const char *name, void *into)
{
    struct function_type *type = into;
    const wasm_valtypes *parameters = wasmtime.wasm_functype_params(from),
                        *results = wasmtime.wasm_functype_results(from);
    bool numbers = parameters->size <= MAX_PARAMETERS && results->size == 1 &&
                   take_kind(results->data[0], &type->result);
    type->count = parameters->size;
    for (size_t i = 0; numbers && i < parameters->size; i++)
        numbers = take_kind(parameters->data[i], &type->parameters[i]);
    if (!numbers)
        failure_set("TypeError",
                    "the export %s does not take at most %d parameters and return one result, each "
                    "i32, i64, f32 or f64",
                    name, MAX_PARAMETERS);
    return numbers;
}

static void describe(const struct function_type *type, struct signature *signature)
{
    signature->count = type->count;
    signature->result = (struct slot){ .storage = kinds[type->result].storage, .name = "result" };
    for (size_t i = 0; i < type->count; i++) {
        signature->parameters[i] = (struct slot){ .storage = kinds[type->parameters[i]].storage };
        snprintf(signature->parameters[i].name, sizeof signature->parameters[i].name, "a%zu", i);
    }
}

static bool slot_fits(const char *what, const struct slot *slot, enum wasm_kind kind)
{
    const bool real = storage_is_real(slot->storage);
    const bool fits = slot->storage <= STORAGE_FLOAT64 &&
                      real == (kind == WASM_F32 || kind == WASM_F64);
    if (!fits)
        failure_set("TypeError", "%s is %s in the module, which the declared type does not fit",
                    what, kinds[kind].name);
    return fits;
}

static bool check_declared(const struct signature *declared, const struct function_type *type)
{
    if (declared->count != type->count) {
        failure_set("TypeError", "the function has %zu parameters where the signature declares %zu",
                    type->count, declared->count);
        return false;
    }
    for (size_t i = 0; i < type->count; i++) {
        if (!slot_fits(declared->parameters[i].name, &declared->parameters[i], type->parameters[i]))
            return false;
        if (declared->parameters[i].nullable) {
            failure_set(
                "TypeError",
                "%s: a number in Wasm is never null, so no parameter may be declared with ?",
                declared->parameters[i].name);
            return false;
        }
    }
    return slot_fits("the result", &declared->result, type->result);
}

/* ---- The loop ---- */

static void write_types(FILE *text, const struct function_type *type)
{
    for (size_t i = 0; i < type->count; i++)
        fprintf(text, " (param %s)", kinds[type->parameters[i]].name);
    fprintf(text, " (result %s)", kinds[type->result].name);
}

static void write_address(FILE *text, enum wasm_kind kind)
{
    fprintf(text, "    local.get $row i32.const %d i32.shl\n", kinds[kind].width == 8 ? 3 : 2);
}

/* In text, which wasmtime compiles. `row` says, after a trap, which one it was. */
static void write_loop(FILE *text, const struct function_type *type)
{
    const size_t bytes = COLUMN_OFFSET(type->count + 1);
    fprintf(text, "(module $" RUNTIME_MODULE "\n  (import \"\" \"function\" (func $function");
    write_types(text, type);
    fprintf(text, "))\n  (memory (export \"memory\") %zu)\n", (bytes + WASM_PAGE - 1) / WASM_PAGE);
    fprintf(text, "  (global $at (export \"row\") (mut i32) (i32.const 0))\n"
                  "  (func (export \"run\") (param $rows i32) (local $row i32)\n   loop\n    "
                  "local.get $row global.set $at\n");
    write_address(text, type->result);
    for (size_t i = 0; i < type->count; i++) {
        write_address(text, type->parameters[i]);
        fprintf(text, "    %s.load offset=%zu\n", kinds[type->parameters[i]].name,
                COLUMN_OFFSET(i));
    }
    fprintf(text, "    call $function\n    %s.store offset=%zu\n", kinds[type->result].name,
            COLUMN_OFFSET(type->count));
    fprintf(text, "    local.get $row i32.const 1 i32.add local.tee $row local.get $rows i32.lt_u "
                  "br_if 0\n   end))\n");
}

static wasmtime_module *compile_loop(const struct function_type *type)
{
    char *text = NULL;
    size_t length = 0;
    wasmtime_module *module = NULL;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        abort();
    write_loop(stream, type);
    fclose(stream);
    module = module_compile((const uint8_t *)text, length);
    free(text);
    return module;
}

static bool make_loop(struct numbers *numbers, const char *name)
{
    wasmtime_extern function, run, row, memory;
    wasm_trap *trap = NULL;
    struct wasm_module loop = numbers->module;
    if (!module_export(&numbers->module, name, WASMTIME_FUNC, &function))
        return false;
    loop.module = compile_loop(&numbers->type);
    if (!loop.module)
        return false;
    wasmtime_error *error = wasmtime.wasmtime_instance_new(loop.context, loop.module, &function, 1,
                                                           &loop.instance, &trap);
    wasmtime.wasmtime_module_delete(loop.module); /* the instance keeps it */
    if (wasmtime_failed("LinkError", error, trap) ||
        !module_export(&loop, "run", WASMTIME_FUNC, &run) ||
        !module_export(&loop, "row", WASMTIME_GLOBAL, &row) ||
        !module_export(&loop, "memory", WASMTIME_MEMORY, &memory))
        return false;
    numbers->run = run.of.func;
    numbers->row = row.of.global;
    numbers->memory = memory.of.memory;
    return true;
}

/* ---- Batches ---- */

/* Whether rows of the storage are, byte for byte, values of the kind. */
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

static bool put_argument(const struct slot *slot, const struct column *column, int64_t row,
                         enum wasm_kind kind, uint8_t *to)
{
    const double real = kind == WASM_F32 || kind == WASM_F64
                            ? stored_real(column->storage, column->data, row)
                            : 0;
    const float narrow = (float)real;
    const int64_t integer = kind == WASM_I32 || kind == WASM_I64
                                ? stored_integer(column->storage, column->data, row)
                                : 0;
    if (kind == WASM_I32 &&
        !storage_holds(column->storage == STORAGE_UINT32 ? STORAGE_UINT32 : STORAGE_INT32,
                       integer)) {
        failure_set("OverflowError", "%s is i32 in the module, and %lld is out of its range",
                    slot->name, (long long)integer);
        return false;
    }
    memcpy(to,
           kind == WASM_F64   ? (const void *)&real
           : kind == WASM_F32 ? (const void *)&narrow
                              : (const void *)&integer,
           kinds[kind].width);
    return true;
}

/* One column of the rows [begin, end) that are not null, side by side. Returns end, or the row that
 * does not fit, with a failure. */
static int64_t gather(const struct numbers *numbers, size_t index, const struct column *column,
                      const struct block *block, int64_t begin, int64_t end, bool skips,
                      uint8_t *to)
{
    const enum wasm_kind kind = numbers->type.parameters[index];
    const size_t width = kinds[kind].width;
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
        else if (!put_argument(&numbers->signature->parameters[index], column, row, kind, to))
            return row;
        to += width;
    }
    return end;
}

static bool take_result(enum storage storage, enum wasm_kind kind, const uint8_t *from,
                        struct scalar *scalar)
{
    float narrow;
    int32_t small;
    switch (kind) {
    case WASM_F64:
        memcpy(&scalar->real, from, sizeof scalar->real);
        return true;
    case WASM_F32:
        memcpy(&narrow, from, sizeof narrow);
        scalar->real = (double)narrow;
        return true;
    case WASM_I32:
        memcpy(&small, from, sizeof small);
        scalar->integer = storage == STORAGE_UINT32 ? (int64_t)(uint32_t)small : small;
        break;
    case WASM_I64:
        memcpy(&scalar->integer, from, sizeof scalar->integer);
        break;
    }
    if (storage == STORAGE_BOOL)
        scalar->integer = scalar->integer != 0;
    if (storage == STORAGE_BOOL || (storage == STORAGE_UINT64 && kind == WASM_I64) ||
        storage_holds(storage, scalar->integer))
        return true;
    failure_set("OverflowError",
                "the function returned %lld, which the declared type does not hold",
                (long long)scalar->integer);
    return false;
}

/* The results back to their rows. Returns end, or the row whose result does not fit. */
static int64_t scatter(const struct numbers *numbers, struct block *block, int64_t begin,
                       int64_t end, bool skips, const uint8_t *from)
{
    const enum wasm_kind kind = numbers->type.result;
    const size_t width = kinds[kind].width;
    if (!skips && is_stored_alike(block->storage, kind)) {
        memcpy(block->output + block->data + (size_t)begin * width, from,
               (size_t)(end - begin) * width);
        return end;
    }
    for (int64_t row = begin; row < end; row++) {
        struct scalar scalar = { .integer = 0 };
        if (!skips || block_is_valid(block, row)) {
            if (!take_result(block->storage, kind, from, &scalar))
                return row;
            from += width;
        }
        block_put(block, row, &scalar); /* cannot fail: it is a number */
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

/* The row with that number among those of a block that are not null. */
static int64_t nth_valid(const struct block *block, int64_t begin, int64_t end, bool skips,
                         int64_t number)
{
    for (int64_t row = begin; skips && row < end; row++)
        if (block_is_valid(block, row) && number-- == 0)
            return row;
    return begin + number;
}

static bool run_loop(const struct numbers *numbers, int64_t rows)
{
    wasmtime_raw arguments[1] = { { .i32 = (int32_t)rows } };
    wasm_trap *trap = NULL;
    wasmtime_error *error = wasmtime.wasmtime_func_call_unchecked(
        numbers->module.context, &numbers->run, arguments, 1, &trap);
    return !wasmtime_failed("RuntimeError", error, trap);
}

/* Returns end, or the row that failed. */
static int64_t run_block(const struct numbers *numbers, const struct column *columns,
                         struct block *block, int64_t begin, int64_t end, bool skips)
{
    uint8_t *memory = wasmtime.wasmtime_memory_data(numbers->module.context, &numbers->memory);
    const int64_t rows = skips ? count_valid(block, begin, end) : end - begin;
    int64_t failed = end;
    for (size_t i = 0; i < numbers->type.count; i++) {
        const int64_t row = gather(numbers, i, &columns[i], block, begin, end, skips,
                                   memory + COLUMN_OFFSET(i));
        if (row < end)
            return row;
    }
    if (rows > 0 && !run_loop(numbers, rows)) {
        wasmtime_val row;
        wasmtime.wasmtime_global_get(numbers->module.context, &numbers->row, &row);
        failed = nth_valid(block, begin, end, skips, row.of.i32);
    }
    return failed < end ? failed
                        : scatter(numbers, block, begin, end, skips,
                                  memory + COLUMN_OFFSET(numbers->type.count));
}

static int64_t run_numbers(void *context, const struct column *columns, struct block *block,
                           int64_t rows, bool skips)
{
    standard_error_begin();
    for (int64_t begin = 0; begin < rows; begin += BLOCK) {
        const int64_t end = rows - begin < BLOCK ? rows : begin + BLOCK;
        const int64_t done = run_block(context, columns, block, begin, end, skips);
        if (done < end)
            return done;
    }
    return rows;
}

bool numbers_prepare(struct program *program, const struct load *load,
                     const struct wasm_module *module, struct signature *found)
{
    struct numbers *numbers = calloc(1, sizeof *numbers);
    if (!numbers)
        abort();
    numbers->module = *module;
    numbers->signature = &program->signature;
    if (!module_function(module->module, load->name, take_type, &numbers->type) ||
        (load->declared && !check_declared(&load->signature, &numbers->type)) ||
        !make_loop(numbers, load->name)) {
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
