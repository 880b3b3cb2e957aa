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

bool code_take(const struct load *load, bool compiled, struct compiled_code *code)
{
    if (compiled)
        return take_compiled(load->code, load->code_length, code);
    *code = (struct compiled_code){ NULL };
    if (component_is(load->code, load->code_length))
        code->component = component_compile(load->code, load->code_length);
    else
        code->module = module_compile(load->code, load->code_length);
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
