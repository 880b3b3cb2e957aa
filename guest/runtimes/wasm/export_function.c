/* See export_function.h. */
#include "wasm/export_function.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"
#include "wasm/export_call.h"

struct export_function {
    struct exported exported;
    struct wasm_module module;
    struct builder builder; /* builds results that are structs, */
    struct column column;   /* and this is their column */
};

static bool run_row(void *context, const struct column *columns, struct block *block, int64_t row)
{
    struct export_function *function = context;
    struct export_call call;
    struct scalar scalar;
    return export_call_run(&function->exported, &call, &no_states, columns, row) &&
           export_call_take(&function->exported, &call, block->storage, &scalar) &&
           export_call_end(&function->exported, &call) &&
           (block_put(block, row, &scalar) ||
            failure_set("OverflowError", "the results of this batch are too large for one column"));
}

static int64_t run_export(void *context, const struct column *columns, struct block *block,
                          int64_t rows, bool skips)
{
    return rows_each(run_row, context, columns, block, rows, skips);
}

/* ---- Structs ---- */

static bool append_row(struct export_function *function, const struct column *columns, int64_t row)
{
    struct export_call call;
    return export_call_run(&function->exported, &call, &no_states, columns, row) &&
           export_call_append(&function->exported, &call, &function->builder) &&
           export_call_end(&function->exported, &call);
}

static int64_t run_fields(void *context, const struct column *columns, int64_t rows,
                          const uint8_t *valid, struct column *result)
{
    struct export_function *function = context;
    builder_clear(&function->builder);
    for (int64_t row = 0; row < rows; row++) {
        if (!bitmap_get(valid, row))
            builder_null(&function->builder);
        else if (!append_row(function, columns, row))
            return row;
    }
    builder_column(&function->builder, &function->column);
    *result = function->column;
    return rows;
}

static void set_run(struct program *program, struct export_function *function)
{
    const struct type *type = function->exported.signature.result.type;
    program->context = function;
    program->run = type ? NULL : run_export;
    program->run_nested = type ? run_fields : NULL;
    if (!type)
        return;
    function->builder = builder_new(type);
    function->column = type_column(type);
}

bool export_function_prepare(struct program *program, const struct load *load,
                             const struct wasm_module *module, const struct export_type *type,
                             struct signature *found)
{
    wasmtime_extern export;
    struct export_function *function = calloc(1, sizeof *function);
    if (!function)
        abort();
    struct exported *exported = &function->exported;
    function->module = *module;
    exported->type = *type;
    exported->result_count = type->result_count;
    memcpy(exported->result_kinds, type->results, sizeof exported->result_kinds);
    module_memory_find(&exported->memory, module);
    if (load->declared)
        exported->signature = load->signature;
    else
        export_type_describe(type, &exported->signature);
    if (!module_export(module, load->name, WASMTIME_FUNC, &export) ||
        !export_plan_make(&exported->plan, type, &exported->signature, &exported->memory)) {
        free(function);
        return false;
    }
    exported->function = export.of.func;
    *found = exported->signature;
    set_run(program, function);
    return true;
}
