/* See link_settings.h. */
#include "wasm/link_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "udfvm_abi.h"
#include "wasm/bindgen_import.h"
#include "wasm/module.h"

#define MAX_NAME_SHOWN 100

static void *grown(void *array, size_t count, size_t size)
{
    void *made = realloc(array, (count + 1) * size);
    if (!made)
        abort();
    return made;
}

static char *copy(const uint8_t *text, size_t length)
{
    char *made = strndup((const char *)text, length);
    if (!made)
        abort();
    return made;
}

static bool take_host_function(struct link_settings *settings, const uint8_t *name,
                               size_t name_length, const uint8_t *slots, size_t length)
{
    struct host_function function;
    if (!host_function_take(&function, name, name_length, slots, length))
        return false;
    settings->host_functions = grown(settings->host_functions, settings->host_function_count,
                                     sizeof function);
    settings->host_functions[settings->host_function_count++] = function;
    return true;
}

bool link_settings_take(struct link_settings *settings, uint8_t kind, const uint8_t *first,
                        size_t first_length, const uint8_t *second, size_t second_length)
{
    switch (kind) {
    case 'h':
        return take_host_function(settings, first, first_length, second, second_length);
    case 'm':
        settings->modules = grown(settings->modules, settings->module_count,
                                  sizeof *settings->modules);
        settings->modules[settings->module_count++] = (struct linked_module){
            .name = copy(first, first_length), .code = second, .length = second_length
        };
        return true;
    case 't':
        settings->traps = true;
        return true;
    default:
        return false;
    }
}

/* Says in the failure which module it is about. */
static bool refuse_module(const char *name)
{
    char what[MAX_NAME_SHOWN + 32];
    snprintf(what, sizeof what, "module %.*s of modules=: ", MAX_NAME_SHOWN, name);
    return failure_explain(what, "");
}

bool link_settings_compile(struct link_settings *settings)
{
    for (size_t i = 0; i < settings->module_count; i++) {
        struct linked_module *module = &settings->modules[i];
        module->compiled = module_compile(module->code, module->length);
        if (!module->compiled)
            return refuse_module(module->name);
    }
    return true;
}

void link_settings_free(struct link_settings *settings)
{
    for (size_t i = 0; i < settings->host_function_count; i++)
        host_function_free(&settings->host_functions[i]);
    for (size_t i = 0; i < settings->module_count; i++) {
        free(settings->modules[i].name);
        if (settings->modules[i].compiled)
            wasmtime.wasmtime_module_delete(settings->modules[i].compiled);
    }
    free(settings->emitter);
    free(settings->host_functions);
    free(settings->modules);
    *settings = (struct link_settings){ 0 };
}

static const struct host_function *find(const struct link_settings *settings, const char *name,
                                        size_t length)
{
    for (size_t i = 0; i < settings->host_function_count; i++) {
        const char *known = settings->host_functions[i].name;
        bool same = strlen(known) == length;
        for (size_t at = 0; same && at < length; at++)
            same = known[at] == (strchr("-.", name[at]) && name[at] ? '_' : name[at]);
        if (same)
            return &settings->host_functions[i];
    }
    return NULL;
}

const struct host_function *link_settings_find(const struct link_settings *settings,
                                               const char *name, size_t length)
{
    const char *own;
    const struct host_function *found = find(settings, name, length);
    const size_t own_length = found ? 0 : bindgen_own_name(name, length, &own);
    return own_length > 0 ? find(settings, own, own_length) : found;
}
