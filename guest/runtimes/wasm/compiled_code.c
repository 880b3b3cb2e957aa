/* See compiled_code.h. Compiled code begins with a byte that tells a module from a component.
 * The code that wasmtime made follows. */
#include "wasm/compiled_code.h"

#include <string.h>

#include "wasm/component.h"
#include "shared/compiled/failure.h"
#include "wasm/wasmtime_failure.h"

enum { COMPILED_MODULE = 'm', COMPILED_COMPONENT = 'c' };

static bool take_compiled(const uint8_t *bytes, size_t length, struct compiled_code *code)
{
    *code = (struct compiled_code){ NULL };
    if (length > 0 && bytes[0] == COMPILED_MODULE)
        return (code->module = module_deserialize(bytes + 1, length - 1)) != NULL;
    if (length > 0 && bytes[0] == COMPILED_COMPONENT)
        return (code->component = component_deserialize(bytes + 1, length - 1)) != NULL;
    return failure_set("CompileError", "this is not compiled code");
}

static bool is_named(const wasm_bytes *name, const char *text)
{
    return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

/* Returns true for what compilers leave to the linker, which imports the memory of the module that
 * it will be part of. */
static bool is_object(const wasmtime_module *module)
{
    wasm_importtypes imports;
    bool found = false;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size && !found; i++)
        found = is_named(wasmtime.wasm_importtype_module(imports.data[i]), "env") &&
                is_named(wasmtime.wasm_importtype_name(imports.data[i]), "__linear_memory");
    wasmtime.wasm_importtype_vec_delete(&imports);
    return found;
}

static wasmtime_module *compile_module(const struct load *load)
{
    wasmtime_module *module = module_compile(load->code, load->code_length);
    if (!module || !is_object(module))
        return module;
    wasmtime.wasmtime_module_delete(module);
    failure_set("CompileError", "it is an object: link it, as wasm-ld and compilers without -c do");
    return NULL;
}

bool code_take(const struct load *load, bool compiled, struct compiled_code *code)
{
    if (compiled)
        return take_compiled(load->code, load->code_length, code);
    *code = (struct compiled_code){ NULL };
    if (component_is(load->code, load->code_length))
        code->component = component_compile(load->code, load->code_length);
    else
        code->module = compile_module(load);
    return code->module || code->component;
}

bool runtime_compile(const struct load *load, uint8_t *output, uint64_t capacity, uint64_t *length)
{
    struct compiled_code code;
    wasm_bytes bytes = { 0, NULL };
    if (!code_take(load, false, &code))
        return false;
    wasmtime_error *error = code.module
                                ? wasmtime.wasmtime_module_serialize(code.module, &bytes)
                                : wasmtime.wasmtime_component_serialize(code.component, &bytes);
    if (wasmtime_failed("CompileError", error, NULL))
        return false;
    *length = 1 + bytes.size;
    if (*length <= capacity) {
        output[0] = code.module ? COMPILED_MODULE : COMPILED_COMPONENT;
        memcpy(output + 1, bytes.data, bytes.size);
    }
    return true; /* nothing is freed: the VM is restored after this */
}
