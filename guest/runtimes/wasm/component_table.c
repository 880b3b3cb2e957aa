/* See component_table.h. */
#include "wasm/component_table.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/component_function.h"
#include "wasm/component_value.h"
#include "wasm/interface.h"
#include "shared/compiled/made_rows.h"
#include "wasm/module.h"

struct component_table {
    struct made_rows rows;
    wasmtime_context *context;
    struct component_function function;
    struct signature signature;
};

static bool call(void *context, const struct column *columns, int64_t row)
{
    static const struct component_states no_states = { .count = 0 };
    struct component_table *table = context;
    struct component_function *function = &table->function;
    wasmtime_component_val result;
    if (!component_function_call(function, table->context, &no_states, columns, row, &result))
        return false;
    const wasmtime_component_val *list = component_function_ok(&function->result, &result);
    bool done = list != NULL;
    for (size_t i = 0; done && i < list->of.list.size; i++) {
        done = component_value_append(function->result.children, &list->of.list.data[i],
                                      &function->made, &table->rows.made);
        if (done)
            made_rows_gather(&table->rows);
    }
    wasmtime.wasmtime_component_val_delete(&result);
    return done;
}

static bool take_type(struct component_table *table, const wasmtime_component_functype *type)
{
    struct signature *signature = &table->signature;
    struct component_function *function = &table->function;
    if (!component_function_parameters(type, 0, function, signature) ||
        !component_function_result(type, function, signature))
        return false;
    if (function->result.form != FORM_LIST || function->result.options > 0)
        return failure_set("TypeError", "a table function of a component returns a list, of which "
                                        "each item is a row: declare this function with ->");
    signature->result = component_function_slot(function->result.children);
    memcpy(signature->result.name, "result", sizeof "result");
    if (signature->result.storage == STORAGE_STRUCT &&
        (signature->result.nullable || signature->result.type->count > MAX_TABLE_COLUMNS))
        return failure_set("TypeError", "a row is an option, or has more than %d columns",
                           MAX_TABLE_COLUMNS);
    return true;
}

static bool find(struct component_table *table, const wasmtime_component *compiled,
                 const wasmtime_component_instance *instance, const char *name)
{
    wasmtime_component_func *function = &table->function.function;
    if (!component_function_find(instance, table->context, name, function)) {
        component_fail_no_export(compiled, engine_used(), name);
        return false;
    }
    wasmtime_component_functype *type = wasmtime.wasmtime_component_func_type(function,
                                                                              table->context);
    const bool taken = take_type(table, type);
    wasmtime.wasmtime_component_func_type_delete(type);
    return taken;
}

bool component_table_prepare(struct program *program, const char *name,
                             wasmtime_component *compiled, const struct settings *settings,
                             struct signature *found)
{
    wasmtime_component_instance instance;
    struct component_table *table = calloc(1, sizeof *table);
    if (!table)
        abort();
    wasmtime_store *store = module_store();
    table->context = wasmtime.wasmtime_store_context(store);
    if (!component_instantiate(compiled, table->context, settings, &instance) ||
        !find(table, compiled, &instance, name)) {
        component_function_clear(&table->function);
        free(table);
        wasmtime.wasmtime_store_delete(store);
        wasmtime.wasmtime_component_delete(compiled);
        return false;
    }
    *found = table->signature;
    made_rows_prepare(&table->rows, &table->signature);
    table->rows.call = call;
    table->rows.context = table;
    program->table = &made_rows_operations;
    program->context = &table->rows;
    return true;
}
