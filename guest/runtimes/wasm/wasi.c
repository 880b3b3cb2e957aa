/* See wasi.h. The functions are wasmtime's own, which make system calls to the guest kernel. */
#include "wasm/wasi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "shared/compiled/failure.h"
#include "wasm/caller_memory.h"
#include "wasm/wasmtime_failure.h"
#include "wasm/standard_error.h"

bool wasi_is_module(const wasm_bytes *name)
{
    return name->size == strlen(WASI_MODULE) && memcmp(name->data, WASI_MODULE, name->size) == 0;
}

bool wasi_is_imported(const wasmtime_module *module)
{
    wasm_importtypes imports;
    bool found = false;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size && !found; i++)
        found = wasi_is_module(wasmtime.wasm_importtype_module(imports.data[i]));
    wasmtime.wasm_importtype_vec_delete(&imports);
    return found;
}

/* ---- Random numbers ---- */

/* Implements random_get(buffer, length). The guest kernel's generator has a new key in every
 * call. wasmtime's own generator would be sealed with the image, and every call would get the
 * same numbers. */
static wasm_trap *random_get(void *unused, wasmtime_caller *caller, const wasmtime_val *arguments,
                             size_t argument_count, wasmtime_val *results, size_t result_count)
{
    (void)unused, (void)argument_count, (void)result_count;
    const uint64_t address = (uint32_t)arguments[0].of.i32;
    const size_t length = (uint32_t)arguments[1].of.i32;
    const struct linear linear = caller_memory(caller);
    uint8_t *buffer = linear_at(&linear, address, length);
    bool done = buffer != NULL;
    for (size_t filled = 0; done && filled < length;) {
        const ssize_t count = getrandom(buffer + filled, length - filled, 0);
        done = count > 0;
        filled += done ? (size_t)count : 0;
    }
    results[0] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = done ? 0 : WASI_FAULT };
    return NULL;
}

static wasm_functype *random_type(void)
{
    wasm_valtype *parameter_types[2] = { wasmtime.wasm_valtype_new(WASM_I32),
                                         wasmtime.wasm_valtype_new(WASM_I32) };
    wasm_valtype *result_types[1] = { wasmtime.wasm_valtype_new(WASM_I32) };
    wasm_valtypes parameters, results;
    wasmtime.wasm_valtype_vec_new(&parameters, 2, parameter_types);
    wasmtime.wasm_valtype_vec_new(&results, 1, result_types);
    return wasmtime.wasm_functype_new(&parameters, &results); /* takes over the vectors */
}

bool wasi_define(wasmtime_linker *linker)
{
    if (wasmtime_failed("LinkError", wasmtime.wasmtime_linker_define_wasi(linker), NULL))
        return false;
    wasmtime.wasmtime_linker_allow_shadowing(linker, true);
    wasm_functype *type = random_type();
    wasmtime_error *error = wasmtime.wasmtime_linker_define_func(
        linker, WASI_MODULE, strlen(WASI_MODULE), "random_get", strlen("random_get"), type,
        random_get, NULL, NULL);
    wasmtime.wasm_functype_delete(type);
    return !wasmtime_failed("LinkError", error, NULL);
}

/* ---- Streams ---- */

static ptrdiff_t append_output(void *context, const unsigned char *bytes, size_t length)
{
    struct wasi_streams *streams = context;
    if (length > streams->output.capacity - streams->output.length) {
        const size_t capacity = 2 * (streams->output.length + length) + 4096;
        char *grown = realloc(streams->output.bytes, capacity);
        if (!grown)
            return -ENOMEM;
        streams->output.bytes = grown;
        streams->output.capacity = capacity;
    }
    memcpy(streams->output.bytes + streams->output.length, bytes, length);
    streams->output.length += length;
    return (ptrdiff_t)length;
}

/* Opens the folders that the module sees. Data are there if the function was given any. */
static bool open_folders(wasi_config *config, const struct settings *settings)
{
    const bool root = settings->files || settings->writable;
    return (!root ||
            wasmtime.wasi_config_preopen_dir(config, SETTINGS_FOLDER, "/", settings->writable)) &&
           (access(DATA_FOLDER, F_OK) < 0 ||
            wasmtime.wasi_config_preopen_dir(config, DATA_FOLDER, DATA_FOLDER, false)) &&
           wasmtime.wasi_config_preopen_dir(config, SCRATCH_FOLDER, "/tmp", true);
}

bool wasi_configure(wasmtime_context *context, const struct settings *settings,
                    struct wasi_streams *streams)
{
    wasi_config *config = wasmtime.wasi_config_new();
    bool done = wasmtime.wasi_config_set_argv(config, settings->argument_count,
                                              settings->arguments) &&
                wasmtime.wasi_config_set_env(config, settings->variable_count, settings->names,
                                             settings->values) &&
                open_folders(config, settings);
    if (streams) {
        wasm_bytes input;
        wasmtime.wasm_byte_vec_new(&input, streams->input_length, (const char *)streams->input);
        wasmtime.wasi_config_set_stdin_bytes(config, &input); /* takes over the input */
        wasmtime.wasi_config_set_stdout_custom(config, append_output, streams, NULL);
    } else {
        wasmtime.wasi_config_inherit_stdout(config);
    }
    wasmtime.wasi_config_set_stderr_custom(config, standard_error_log, NULL, NULL);
    if (!done) {
        wasmtime.wasi_config_delete(config);
        return failure_set("ValueError",
                           "wasmtime does not take the arguments, the environment or the "
                           "files: they must be UTF-8");
    }
    return !wasmtime_failed("LinkError", wasmtime.wasmtime_context_set_wasi(context, config), NULL);
}
