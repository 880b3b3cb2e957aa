/* The runtime for Wasm modules: libwasmtime, which parses, checks and compiles them. Its path is
 * the program's argument. */
#include <string.h>

#include "wasm/aggregate_parts.h"
#include "wasm/arrow_udf.h"
#include "wasm/command.h"
#include "wasm/compiled_code.h"
#include "wasm/component.h"
#include "wasm/component_aggregate.h"
#include "wasm/component_parts.h"
#include "wasm/component_table.h"
#include "shared/compiled/failure.h"
#include "wasm/module.h"
#include "wasm/module_aggregate.h"
#include "wasm/module_table.h"
#include "wasm/numbers.h"

bool runtime_prepare(int count, char **arguments)
{
    if (count != 2)
        return failure_set("ValueError", "the argument is the path of libwasmtime");
    if (!wasmtime_open(arguments[1]))
        return false;
    engine_prepare();
    return true;
}

/* Loads what a component has under a name: one of several forms of functions. */
static bool load_from_component(struct program *program, const char *name,
                                wasmtime_component *compiled, const struct settings *settings,
                                struct signature *found)
{
    if (component_parts_are(compiled, name))
        return component_aggregate_prepare(program, name, compiled, settings, found);
    return (settings->yields ? component_table_prepare : component_prepare)(program, name, compiled,
                                                                            settings, found);
}

/* Loads what a module has under a name: one of several forms of functions. */
static bool load_from_module(struct program *program, const struct load *load,
                             const struct wasm_module *module, const struct settings *settings,
                             struct signature *found)
{
    if (arrow_udf_is(module->module))
        return arrow_udf_prepare(program, load, module, settings, found);
    if (aggregate_parts_are(module->module, load->name))
        return module_aggregate_prepare(program, load, module, found);
    if (settings->yields || module_table_is(module->module, load->name))
        return module_table_prepare(program, load, module, settings, found);
    return numbers_prepare(program, load, module, found);
}

static bool load_function(struct program *program, const struct load *load,
                          const struct settings *settings, struct signature *found)
{
    struct wasm_module module;
    struct compiled_code code;
    if (!code_take(load, settings->compiled, &code))
        return false;
    if (code.component && settings->link.module_count > 0)
        return failure_set("TypeError", "a component cannot be linked with modules=: compose the "
                                        "components ahead");
    if (code.component)
        return load_from_component(program, load->name, code.component, settings, found);
    if (strcmp(load->name, COMMAND_EXPORT) == 0)
        return command_prepare(program, load, code.module, settings, found);
    if (!module_open(&module, code.module, settings))
        return false;
    if (load_from_module(program, load, &module, settings, found))
        return true;
    module_close(&module);
    return false;
}

bool runtime_load(struct program *program, const struct load *load, struct signature *found)
{
    struct settings settings;
    if (settings_take(&settings, load) && link_settings_compile(&settings.link) &&
        load_function(program, load, &settings, found))
        return true;
    settings_free(&settings);
    return false;
}
