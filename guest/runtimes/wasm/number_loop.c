/* See number_loop.h. */
#include "wasm/number_loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "wasm/wasmtime_failure.h"

#define WASM_PAGE 65536

const struct number_kind number_kinds[] = {
    [WASM_I32] = { "i32", 4, STORAGE_INT32 },
    [WASM_I64] = { "i64", 8, STORAGE_INT64 },
    [WASM_F32] = { "f32", 4, STORAGE_FLOAT32 },
    [WASM_F64] = { "f64", 8, STORAGE_FLOAT64 },
};

static void write_types(FILE *text, const struct number_type *type)
{
    for (size_t i = 0; i < type->count; i++)
        fprintf(text, " (param %s)", number_kinds[type->parameters[i]].name);
    fprintf(text, " (result %s)", number_kinds[type->result].name);
}

static void write_address(FILE *text, enum wasm_kind kind)
{
    fprintf(text, "    local.get $row i32.const %d i32.shl\n",
            number_kinds[kind].width == 8 ? 3 : 2);
}

/* Writes the loop as Wasm text, which wasmtime compiles. After a trap the global `row` tells
 * which row failed. */
static void write_loop(FILE *text, const struct number_type *type)
{
    const size_t pages = (NUMBER_LOOP_OFFSET(type->count + 1) + WASM_PAGE - 1) / WASM_PAGE;
    fprintf(text, "(module $" RUNTIME_MODULE "\n  (import \"\" \"function\" (func $function");
    write_types(text, type);
    fprintf(text, "))\n  (memory (export \"memory\") %zu %zu)\n", pages, pages);
    fprintf(text, "  (global $at (export \"row\") (mut i32) (i32.const 0))\n"
                  "  (func (export \"run\") (param $rows i32) (local $row i32)\n   loop\n    "
                  "local.get $row global.set $at\n");
    write_address(text, type->result);
    for (size_t i = 0; i < type->count; i++) {
        write_address(text, type->parameters[i]);
        fprintf(text, "    %s.load offset=%zu\n", number_kinds[type->parameters[i]].name,
                NUMBER_LOOP_OFFSET(i));
    }
    fprintf(text, "    call $function\n    %s.store offset=%zu\n", number_kinds[type->result].name,
            NUMBER_LOOP_OFFSET(type->count));
    fprintf(text, "    local.get $row i32.const 1 i32.add local.tee $row local.get $rows i32.lt_u "
                  "br_if 0\n   end))\n");
}

static wasmtime_module *compile_loop(const struct number_type *type)
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

bool number_loop_make(struct number_loop *loop, const struct wasm_module *module, const char *name,
                      const struct number_type *type)
{
    wasmtime_extern function, run, row, memory;
    wasm_trap *trap = NULL;
    struct wasm_module made = *module; /* uses the same store */
    if (!module_export(module, name, WASMTIME_FUNC, &function) ||
        !(made.module = compile_loop(type)))
        return false;
    wasmtime_error *error = wasmtime.wasmtime_instance_new(made.context, made.module, &function, 1,
                                                           &made.instance, &trap);
    wasmtime.wasmtime_module_delete(made.module); /* the instance keeps it */
    if (wasmtime_failed("LinkError", error, trap) ||
        !module_export(&made, "run", WASMTIME_FUNC, &run) ||
        !module_export(&made, "row", WASMTIME_GLOBAL, &row) ||
        !module_export(&made, "memory", WASMTIME_MEMORY, &memory))
        return false;
    *loop = (struct number_loop){ made.context, run.of.func, row.of.global, memory.of.memory };
    return true;
}

uint8_t *number_loop_memory(const struct number_loop *loop)
{
    return wasmtime.wasmtime_memory_data(loop->context, &loop->memory);
}

int64_t number_loop_run(const struct number_loop *loop, int64_t rows)
{
    wasmtime_raw arguments[1] = { { .i32 = (int32_t)rows } };
    wasm_trap *trap = NULL;
    wasmtime_val row;
    wasmtime_error *error = wasmtime.wasmtime_func_call_unchecked(loop->context, &loop->run,
                                                                  arguments, 1, &trap);
    if (!wasmtime_failed("RuntimeError", error, trap))
        return rows;
    wasmtime.wasmtime_global_get(loop->context, &loop->row, &row);
    return row.of.i32;
}
