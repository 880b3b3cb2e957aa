/* See value_type.h. */
#include "wasm/value_type.h"

#include <string.h>

static const char *const names[] = { [WASM_I32] = "i32",
                                     [WASM_I64] = "i64",
                                     [WASM_F32] = "f32",
                                     [WASM_F64] = "f64",
                                     [WASM_V128] = "v128" };

/* Takes over the other type. */
static bool equals(const wasm_valtype *type, wasm_valtype *other)
{
    const bool equal = wasmtime.wasmtime_wasm_valtype_equal(type, other);
    wasmtime.wasm_valtype_delete(other);
    return equal;
}

bool value_type_kind(const wasm_valtype *type, enum wasm_kind *kind)
{
    for (int number = WASM_I32; number <= WASM_V128;
         number++) { /* wasm_valtype_kind() aborts the program for v128 */
        *kind = (enum wasm_kind)number;
        if (equals(type, number == WASM_V128 ? wasmtime.wasmtime_wasm_valtype_v128()
                                             : wasmtime.wasm_valtype_new((uint8_t)number)))
            return true;
    }
    return false;
}

const char *value_kind_name(enum wasm_kind kind)
{
    return names[kind];
}

const char *value_type_name(const wasm_valtype *type)
{
    enum wasm_kind kind;
    if (value_type_kind(type, &kind))
        return names[kind];
    if (equals(type, wasmtime.wasm_valtype_new(WASM_EXTERNREF)))
        return "externref";
    return equals(type, wasmtime.wasm_valtype_new(WASM_FUNCREF)) ? "funcref" : "a reference";
}

static void write_types(const char *label, const wasm_valtypes *types, struct bytes *to)
{
    if (types->size == 0)
        return;
    bytes_text(to, to->length > 0 ? " (" : "(");
    bytes_text(to, label);
    for (size_t i = 0; i < types->size; i++) {
        bytes_text(to, " ");
        bytes_text(to, value_type_name(types->data[i]));
    }
    bytes_text(to, ")");
}

void function_type_write(const wasm_functype *type, struct bytes *to)
{
    write_types("param", wasmtime.wasm_functype_params(type), to);
    write_types("result", wasmtime.wasm_functype_results(type), to);
}
