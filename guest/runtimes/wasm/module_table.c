/* See module_table.h. */
#include "wasm/module_table.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/caller_memory.h"
#include "wasm/emitter.h"
#include "wasm/export_call.h"
#include "wasm/interface.h"
#include "shared/compiled/made_rows.h"
#include "wasm/row_plan.h"

struct module_table {
    struct made_rows rows;
    struct wasm_module module;
    struct settings settings;
    struct exported exported;
    const char *name;
    struct signature signature;
};

/* ---- Types ---- */

static bool take_type(const wasmtime_module *module, const char *name, struct export_type *type)
{
    return module_function(module, name, export_type_take, type);
}

bool module_table_is(const wasmtime_module *module, const char *name)
{
    return row_plan_is_there(module, name);
}

bool module_table_signature(const wasmtime_module *module, const char *name,
                            struct signature *signature)
{
    struct export_type type, row;
    if (!take_type(module, name, &type) || !row_plan_find(module, name, NULL, false, &row))
        return false;
    export_type_describe(&type, signature);
    row_plan_describe(&row, &signature->result);
    return true;
}

/* ---- Rows ---- */

static wasm_trap *take(void *context, wasmtime_caller *caller, const wasmtime_val *values,
                       size_t count)
{
    static const char leaving[] = "no more rows are wanted";
    struct module_table *table = context;
    struct made_rows *rows = &table->rows;
    const struct linear linear = caller_memory(caller);
    if (rows->left)
        return wasmtime.wasmtime_trap_new(leaving, strlen(leaving));
    if (!row_plan_append(&table->signature.result, table->exported.memory.form == MEMORY_SCRIPT,
                         &linear, values, count, &rows->made))
        return wasmtime.wasmtime_trap_new(failure_message(), strlen(failure_message()));
    return made_rows_add(rows) ? NULL : wasmtime.wasmtime_trap_new(leaving, strlen(leaving));
}

static bool bind(struct module_table *table)
{
    wasmtime_extern export;
    module_memory_find(&table->exported.memory, &table->module);
    if (!module_export(&table->module, table->name, WASMTIME_FUNC, &export))
        return failure_set("AttributeError", "the module does not export %s", table->name);
    table->exported.function = export.of.func;
    return true;
}

/* Where the function was left in its midst, its instance is in no good state: another takes its
 * place. */
static bool call(void *context, const struct column *columns, int64_t row)
{
    struct module_table *table = context;
    struct export_call call;
    table->settings.link.emitter->function = table->name;
    const bool done = export_call_run(&table->exported, &call, &no_states, columns, row) &&
                      export_call_end(&table->exported, &call);
    table->settings.link.emitter->function = NULL;
    if (table->rows.left && !(module_reopen(&table->module, &table->settings) && bind(table)))
        abort(); /* it was instantiated before */
    return done;
}

/* ---- Loading ---- */

static bool declare(struct module_table *table, const struct load *load, struct signature *found)
{
    const struct wasm_module *module = &table->module;
    struct export_type row;
    if (!load->declared)
        return module_table_signature(module->module, load->name, found);
    *found = load->signature;
    return row_plan_find(module->module, table->name, &found->result,
                         table->exported.memory.form == MEMORY_SCRIPT, &row);
}

static bool prepare(struct module_table *table, const struct load *load, struct signature *found)
{
    struct exported *exported = &table->exported;
    struct export_type row;
    if (!take_type(table->module.module, load->name, &exported->type) ||
        !row_plan_find(table->module.module, load->name, NULL, false, &row))
        return false;
    if (exported->type.result_count > 0)
        return failure_set("TypeError",
                           "a table function passes its rows to udfvm.emit_%s, and has no result",
                           load->name);
    if (!bind(table) || !declare(table, load, found))
        return false;
    if (found->result.storage == STORAGE_STRUCT && found->result.type->count > MAX_TABLE_COLUMNS)
        return failure_set("TypeError", "the function has more than %d columns", MAX_TABLE_COLUMNS);
    table->signature = *found;
    exported->signature = export_type_of_nothing(found);
    return export_plan_make(&exported->plan, &exported->type, &exported->signature,
                            &exported->memory);
}

bool module_table_prepare(struct program *program, const struct load *load,
                          const struct wasm_module *module, const struct settings *settings,
                          struct signature *found)
{
    struct module_table *table = calloc(1, sizeof *table);
    if (!table || !(table->name = strdup(load->name)))
        abort();
    table->module = *module;
    table->settings = *settings;
    if (!prepare(table, load, found)) {
        free((void *)table->name);
        free(table);
        return false;
    }
    made_rows_prepare(&table->rows, &table->signature);
    table->rows.call = call;
    table->rows.context = table;
    settings->link.emitter->take = take;
    settings->link.emitter->context = table;
    program->table = &made_rows_operations;
    program->context = &table->rows;
    return true;
}
