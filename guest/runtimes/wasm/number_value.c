/* See number_value.h. */
#include "wasm/number_value.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/number_loop.h"

bool number_fits(const char *what, const struct slot *slot, enum wasm_kind kind)
{
    const bool real = storage_is_real(slot->storage);
    const bool fits = slot->storage <= STORAGE_FLOAT64 &&
                      real == (kind == WASM_F32 || kind == WASM_F64);
    if (!fits)
        failure_set(
            "TypeError", "%s is %s in the module, which the declared type does not fit: declare %s",
            what, number_kinds[kind].name,
            kind == WASM_F32 || kind == WASM_F64 ? "f32 or f64"
                                                 : "bool, an integer type, a date or a timestamp");
    return fits;
}

bool number_put(const struct column *column, int64_t row, enum wasm_kind kind, uint8_t *to)
{
    const double real = kind == WASM_F32 || kind == WASM_F64
                            ? stored_real(column->storage, column->data, row)
                            : 0;
    const float narrow = (float)real;
    const int64_t integer = kind == WASM_I32 || kind == WASM_I64
                                ? stored_integer(column->storage, column->data, row)
                                : 0;
    if (kind == WASM_I32 &&
        !storage_holds(column->storage == STORAGE_UINT32 ? STORAGE_UINT32 : STORAGE_INT32, integer))
        return failure_set("OverflowError", "is %lld, out of range of i32, its type in the module",
                           (long long)integer);
    memcpy(to,
           kind == WASM_F64   ? (const void *)&real
           : kind == WASM_F32 ? (const void *)&narrow
                              : (const void *)&integer,
           number_kinds[kind].width);
    return true;
}

bool number_take(enum storage storage, enum wasm_kind kind, const uint8_t *from,
                 struct scalar *scalar)
{
    float narrow;
    int32_t small;
    switch (kind) {
    case WASM_F64:
        memcpy(&scalar->real, from, sizeof scalar->real);
        return true;
    case WASM_F32:
        memcpy(&narrow, from, sizeof narrow);
        scalar->real = (double)narrow;
        return true;
    case WASM_I32:
        memcpy(&small, from, sizeof small);
        scalar->integer = storage == STORAGE_UINT32 ? (int64_t)(uint32_t)small : small;
        break;
    default:
        memcpy(&scalar->integer, from, sizeof scalar->integer);
        break;
    }
    if (storage == STORAGE_BOOL)
        scalar->integer = scalar->integer != 0;
    if (storage == STORAGE_BOOL || (storage == STORAGE_UINT64 && kind == WASM_I64) ||
        storage_holds(storage, scalar->integer))
        return true;
    return failure_set("OverflowError",
                       "the function returned %lld, which the declared type cannot hold",
                       (long long)scalar->integer);
}
