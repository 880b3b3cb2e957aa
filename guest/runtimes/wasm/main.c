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
#include "shared/compiled/failure.h"
#include "wasm/module.h"
#include "wasm/module_aggregate.h"
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
    if (code.component && component_parts_are(code.component, load->name))
        return component_aggregate_prepare(program, load->name, code.component, settings, found);
    if (code.component)
        return component_prepare(program, load->name, code.component, settings, found);
    if (strcmp(load->name, COMMAND_EXPORT) == 0)
        return command_prepare(program, load, code.module, settings, found);
    if (!module_open(&module, code.module, settings))
        return false;
    if (arrow_udf_is(code.module) ? arrow_udf_prepare(program, load, &module, settings, found)
        : aggregate_parts_are(code.module, load->name)
            ? module_aggregate_prepare(program, load, &module, found)
            : numbers_prepare(program, load, &module, found))
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
