/* See component_wasi.h. The functions are wasmtime's own, except randomness, which comes from the
 * guest kernel, as in wasi.c, and for the same reason. Source of names and types: WASI 0.2
 * (github.com/WebAssembly/WASI), package wasi:random. */
#include "wasm/component_wasi.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shared/compiled/failure.h"
#include "wasm/component_host.h"
#include "wasm/wasmtime_failure.h"
#include "wasm/wasi.h"

#define MAX_RANDOM_BYTES (64u << 20) /* random bytes that a component may request in one call */

static wasmtime_error *fill(void *bytes, size_t length)
{
    for (size_t filled = 0; filled < length;) {
        const ssize_t count = getrandom((uint8_t *)bytes + filled, length - filled, 0);
        if (count <= 0)
            return wasmtime.wasmtime_error_new("no random numbers are available");
        filled += (size_t)count;
    }
    return NULL;
}

static wasmtime_error *random_bytes(void *data, wasmtime_context *context,
                                    const wasmtime_component_functype *type,
                                    wasmtime_component_val *arguments, size_t argument_count,
                                    wasmtime_component_val *results, size_t result_count)
{
    (void)data, (void)context, (void)type;
    if (argument_count != 1 || result_count != 1 || arguments[0].kind != COMPONENT_U64 ||
        arguments[0].of.u64 > MAX_RANDOM_BYTES)
        return wasmtime.wasmtime_error_new(
            "the request for random bytes does not follow WASI 0.2, or asks for too many");
    const size_t length = arguments[0].of.u64;
    uint8_t *bytes = malloc(length + 1);
    if (!bytes)
        return wasmtime.wasmtime_error_new("out of memory for random bytes");
    wasmtime_error *error = fill(bytes, length);
    results[0] = (wasmtime_component_val){ .kind = COMPONENT_LIST };
    wasmtime.wasmtime_component_vallist_new_uninit(&results[0].of.list, length);
    for (size_t i = 0; i < length; i++)
        results[0].of.list.data[i] = (wasmtime_component_val){ .kind = COMPONENT_U8,
                                                               .of.u8 = bytes[i] };
    free(bytes);
    return error;
}

static wasmtime_error *random_number(void *data, wasmtime_context *context,
                                     const wasmtime_component_functype *type,
                                     wasmtime_component_val *arguments, size_t argument_count,
                                     wasmtime_component_val *results, size_t result_count)
{
    (void)data, (void)context, (void)type, (void)arguments;
    if (argument_count != 0 || result_count != 1)
        return wasmtime.wasmtime_error_new(
            "the request for a random number does not follow WASI 0.2");
    results[0] = (wasmtime_component_val){ .kind = COMPONENT_U64 };
    return fill(&results[0].of.u64, sizeof results[0].of.u64);
}

static wasmtime_error *random_pair(void *data, wasmtime_context *context,
                                   const wasmtime_component_functype *type,
                                   wasmtime_component_val *arguments, size_t argument_count,
                                   wasmtime_component_val *results, size_t result_count)
{
    (void)data, (void)context, (void)type, (void)arguments;
    uint64_t numbers[2];
    wasmtime_error *error = argument_count != 0 || result_count != 1
                                ? wasmtime.wasmtime_error_new(
                                      "the request for a seed does not follow WASI 0.2")
                                : fill(numbers, sizeof numbers);
    if (error)
        return error;
    results[0] = (wasmtime_component_val){ .kind = COMPONENT_TUPLE };
    wasmtime.wasmtime_component_valtuple_new_uninit(&results[0].of.list, 2);
    for (size_t i = 0; i < 2; i++)
        results[0].of.list.data[i] = (wasmtime_component_val){ .kind = COMPONENT_U64,
                                                               .of.u64 = numbers[i] };
    return NULL;
}

static const struct {
    const char *interface, *function;
    wasmtime_component_callback *body;
} functions[] = {
    { "wasi:random/random@", "get-random-bytes", random_bytes },
    { "wasi:random/random@", "get-random-u64", random_number },
    { "wasi:random/insecure@", "get-insecure-random-bytes", random_bytes },
    { "wasi:random/insecure@", "get-insecure-random-u64", random_number },
    { "wasi:random/insecure-seed@", "insecure-seed", random_pair },
};

static bool begins(const char *name, size_t length, const char *with)
{
    return length >= strlen(with) && memcmp(name, with, strlen(with)) == 0;
}

static bool add_functions(wasmtime_component_linker_instance *instance, const char *name,
                          size_t length)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const char *function = functions[i].function;
        if (!begins(name, length, functions[i].interface))
            continue;
        wasmtime_error *error = wasmtime.wasmtime_component_linker_instance_add_func(
            instance, function, strlen(function), functions[i].body, NULL, NULL);
        if (wasmtime_failed("LinkError", error, NULL))
            return false;
    }
    return true;
}

/* Defines the functions under the name that the component imports, with its version: wasmtime
 * looks up the exact name first. */
static bool define_random(wasmtime_component_linker *linker, const char *name, size_t length)
{
    wasmtime_component_linker_instance *root = wasmtime.wasmtime_component_linker_root(linker),
                                       *instance = NULL;
    wasmtime_error *error = wasmtime.wasmtime_component_linker_instance_add_instance(
        root, name, length, &instance);
    const bool done = !wasmtime_failed("LinkError", error, NULL) &&
                      add_functions(instance, name, length);
    if (instance)
        wasmtime.wasmtime_component_linker_instance_delete(instance);
    wasmtime.wasmtime_component_linker_instance_delete(root);
    return done;
}

/* Goes through the imports that have the prefix. Counts or defines them. */
static bool each_import(wasmtime_component_linker *linker, const wasm_engine *engine,
                        const wasmtime_component_componenttype *type, const char *prefix,
                        size_t *count)
{
    const size_t imports = wasmtime.wasmtime_component_type_import_count(type, engine);
    bool done = true;
    for (size_t i = 0; done && i < imports; i++) {
        const char *name;
        size_t length;
        wasmtime_component_extern *what = NULL;
        if (!wasmtime.wasmtime_component_type_import_nth(type, engine, i, &name, &length, &what))
            continue;
        if (what)
            wasmtime.wasmtime_component_extern_delete(what);
        if (!begins(name, length, prefix) || !component_import_is_wasi(name, length))
            continue;
        (*count)++;
        if (linker)
            done = define_random(linker, name, length);
    }
    return done;
}

/* Defines HTTP if the component imports it, as those made from JavaScript do. There is no network,
 * so a request fails. */
static bool define_http(wasmtime_component_linker *linker, const wasm_engine *engine,
                        const wasmtime_component_componenttype *type, wasmtime_context *context)
{
    size_t count = 0;
    if (!each_import(NULL, engine, type, "wasi:http/", &count) || count == 0)
        return true;
    wasmtime.wasmtime_context_set_wasi_http(context);
    return !wasmtime_failed("LinkError", wasmtime.wasmtime_component_linker_add_wasi_http(linker),
                            NULL);
}

bool component_wasi_define(wasmtime_component_linker *linker, const wasm_engine *engine,
                           const wasmtime_component *component, wasmtime_context *context,
                           const struct settings *settings)
{
    size_t count = 0;
    wasmtime_component_componenttype *type = wasmtime.wasmtime_component_type(component);
    bool done = each_import(NULL, engine, type, "wasi:", &count);
    if (count > 0) {
        done = !wasmtime_failed("LinkError", wasmtime.wasmtime_component_linker_add_wasip2(linker),
                                NULL);
        wasmtime.wasmtime_component_linker_allow_shadowing(linker, true);
        done = done && define_http(linker, engine, type, context) &&
               each_import(linker, engine, type, "wasi:random/", &count) &&
               wasi_configure(context, settings, NULL);
    }
    wasmtime.wasmtime_component_type_delete(type);
    return done;
}
