/* See command.h. A command runs once, from start to end, so each row has an instance and a store of
 * its own. */
#include "wasm/command.h"

#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/imports.h"
#include "wasm/interface.h"
#include "wasm/wasmtime_failure.h"
#include "shared/compiled/rows.h"
#include "wasm/standard_error.h"
#include "utf8.h"
#include "wasm/wasi.h"

struct command {
    const struct signature *signature;
    struct settings settings;
    wasmtime_module *module;
    wasmtime_instance_pre *pre; /* NULL: with linked modules, or a memory */
};

static bool is_bytes(enum storage storage)
{
    return storage == STORAGE_TEXT32 || storage == STORAGE_BYTES32;
}

static bool check(const struct signature *declared)
{
    bool fits = is_bytes(declared->result.storage);
    for (size_t i = 0; i < declared->count; i++)
        fits &= (i == 0 ? is_bytes(declared->parameters[i].storage)
                        : declared->parameters[i].storage == STORAGE_TEXT32) &&
                !declared->parameters[i].nullable;
    if (!fits)
        failure_set("TypeError", "a command takes its standard input (text or blob), then "
                                 "arguments (text), none of them with ?, and "
                                 "returns its standard output (text or blob)");
    return fits;
}

/* Checks the end of a command. wasmtime reports exit() as an error, but exit status 0 is none.
 * Returns false with a failure. */
static bool take_end(wasmtime_error *error, wasm_trap *trap)
{
    int status = 0;
    if (trap || !error || !wasmtime.wasmtime_error_exit_status(error, &status))
        return !wasmtime_failed("RuntimeError", error, trap);
    wasmtime.wasmtime_error_delete(error);
    if (status == 0)
        return true;
    failure_set("SystemExit", "the command ended with exit status %d", status);
    standard_error_trace("");
    return false;
}

static bool instantiate(const struct command *command, wasmtime_context *context,
                        wasmtime_instance *instance)
{
    wasm_trap *trap = NULL;
    if (!command->pre)
        return module_instantiate(command->module, context, &command->settings, instance);
    wasmtime_error *error = wasmtime.wasmtime_instance_pre_instantiate(command->pre, context,
                                                                       instance, &trap);
    return !wasmtime_failed("LinkError", error, trap);
}

static bool start(const struct command *command, wasmtime_context *context)
{
    wasmtime_instance instance;
    wasmtime_extern function;
    wasm_trap *trap = NULL;
    if (!instantiate(command, context, &instance))
        return false;
    if (!wasmtime.wasmtime_instance_export_get(context, &instance, COMMAND_EXPORT,
                                               strlen(COMMAND_EXPORT), &function) ||
        function.kind != WASMTIME_FUNC)
        return failure_set("AttributeError", "the module exports no function " COMMAND_EXPORT);
    wasmtime_error *error = wasmtime.wasmtime_func_call(context, &function.of.func, NULL, 0, NULL,
                                                        0, &trap);
    return take_end(error, trap);
}

/* Resolves the imports ahead, or, with linked modules or memories, which belong to a store, once to
 * see whether there are all. Returns false with a failure. */
static bool link_ahead(struct command *command)
{
    if (command->settings.link.module_count == 0 && !imports_memory(command->module))
        return (command->pre = module_link(command->module, &command->settings)) != NULL;
    wasmtime_store *store = module_store();
    wasmtime_context *context = wasmtime.wasmtime_store_context(store);
    wasmtime_instance instance;
    const bool done = wasi_configure(context, &command->settings, NULL) &&
                      instantiate(command, context, &instance);
    wasmtime.wasmtime_store_delete(store);
    return done;
}

static bool run_once(const struct command *command, struct wasi_streams *streams)
{
    wasmtime_store *store = module_store();
    wasmtime_context *context = wasmtime.wasmtime_store_context(store);
    standard_error_begin();
    const bool done = wasi_configure(context, &command->settings, streams) &&
                      start(command, context);
    wasmtime.wasmtime_store_delete(store);
    return done;
}

static char *argument_at(const struct column *column, int64_t row)
{
    const struct scalar argument = column_bytes(column, row);
    char *text = strndup(argument.bytes, argument.length);
    if (!text)
        abort();
    return text;
}

/* Appends the arguments of a row to those of the settings. */
static void add_arguments(struct command *command, const struct column *columns, int64_t row)
{
    for (size_t i = 1; i < command->signature->count; i++)
        command->settings.arguments[command->settings.argument_count++] = argument_at(&columns[i],
                                                                                      row);
}

static void remove_arguments(struct command *command)
{
    for (size_t i = 1; i < command->signature->count; i++)
        free((void *)command->settings.arguments[--command->settings.argument_count]);
}

static bool run_row(void *context, const struct column *columns, struct block *block, int64_t row)
{
    struct command *command = context;
    struct wasi_streams streams = { 0 };
    if (command->signature->count > 0) {
        const struct scalar input = column_bytes(&columns[0], row);
        streams.input = (const uint8_t *)input.bytes;
        streams.input_length = input.length;
    }
    add_arguments(command, columns, row);
    row_begin();
    bool done = run_once(command, &streams);
    remove_arguments(command);
    if (done && block->storage == STORAGE_TEXT32 &&
        !utf8_is_valid(streams.output.bytes, streams.output.length)) {
        failure_set(
            "UnicodeDecodeError",
            "what the command wrote to its standard output is not valid UTF-8: declare a blob");
        done = false;
    }
    if (done && !block_put(block, row,
                           &(struct scalar){ .bytes = streams.output.bytes,
                                             .length = streams.output.length })) {
        failure_set("OverflowError", "the results of this batch are too large for one column");
        done = false;
    }
    free(streams.output.bytes);
    return done;
}

static int64_t run_command(void *context, const struct column *columns, struct block *block,
                           int64_t rows, bool skips)
{
    return rows_each(run_row, context, columns, block, rows, skips);
}

bool command_prepare(struct program *program, const struct load *load, wasmtime_module *module,
                     const struct settings *settings, struct signature *found)
{
    struct command *command = calloc(1, sizeof *command);
    if (!command)
        abort();
    *command = (struct command){ .signature = &program->signature,
                                 .settings = *settings,
                                 .module = module };
    if (!module_function(module, COMMAND_EXPORT, NULL, NULL) ||
        (load->declared && !check(&load->signature)) || !link_ahead(command)) {
        free(command);
        return false;
    }
    *found = load->signature;
    if (!load->declared)
        *found = (struct signature){
            .count = 1,
            .result = { STORAGE_TEXT32, false, "result" },
            .parameters = { { STORAGE_TEXT32, false, "stdin" } },
        };
    program->run = run_command;
    program->context = command;
    return true;
}
