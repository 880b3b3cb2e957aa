/* See arrow_abi.h. Addresses and lengths from the module are checked: a mistake in the module is
 * an error of the call, not a crash. */
#include "wasm/arrow_abi.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/wasmtime_failure.h"
#include "wasm/standard_error.h"
#include "utf8.h"
#include "size_text.h"

#define SLICE     8    /* bytes of a slice: a 32-bit address and a 32-bit length */
#define MAX_SHOWN 1800 /* bytes of a message */

bool arrow_find(struct arrow_module *arrow, const char *name)
{
    wasmtime_extern memory, alloc, dealloc, function;
    const struct wasm_module *module = &arrow->module;
    if (!module_export(module, "memory", WASMTIME_MEMORY, &memory) ||
        !module_export(module, "alloc", WASMTIME_FUNC, &alloc) ||
        !module_export(module, "dealloc", WASMTIME_FUNC, &dealloc) ||
        !module_export(module, name, WASMTIME_FUNC, &function))
        return failure_set("ImportError",
                           "the module does not export memory, alloc and dealloc, as the "
                           "ABI of arrow-udf has them");
    arrow->memory = memory.of.memory;
    arrow->alloc = alloc.of.func;
    arrow->dealloc = dealloc.of.func;
    arrow->function = function.of.func;
    return true;
}

bool arrow_call(const struct arrow_module *arrow, const wasmtime_func *function,
                const uint32_t *numbers, size_t count, uint32_t *result)
{
    wasmtime_val arguments[3], results[1];
    wasm_trap *trap = NULL;
    for (size_t i = 0; i < count; i++)
        arguments[i] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = (int32_t)numbers[i] };
    wasmtime_error *error = wasmtime.wasmtime_func_call(arrow->module.context, function, arguments,
                                                        count, results, result ? 1 : 0, &trap);
    if (wasmtime_failed("RuntimeError", error, trap))
        return false;
    if (result)
        *result = (uint32_t)results[0].of.i32;
    return true;
}

/* Returns the module's memory at an address. Returns NULL with a failure if the range is not
 * inside the memory. */
static uint8_t *memory_at(const struct arrow_module *arrow, uint32_t address, uint64_t length)
{
    const size_t size = wasmtime.wasmtime_memory_data_size(arrow->module.context, &arrow->memory);
    if (address <= size && length <= size - address)
        return wasmtime.wasmtime_memory_data(arrow->module.context, &arrow->memory) + address;
    failure_set("RuntimeError", "the module named %s at 0x%x, which lie outside of its memory",
                size_text(length).text, address);
    return NULL;
}

/* Allocates the module's memory for a slice and the file behind it, and fills it. */
static bool put_request(const struct arrow_module *arrow, const struct column *columns,
                        int64_t rows, struct arrow_request *request)
{
    const size_t count = arrow->signature->count;
    const uint64_t needed = SLICE + file_length(&arrow->format, columns, count, rows);
    if (needed > INT32_MAX)
        return failure_set("MemoryError",
                           "the batch has %s, more than a module can take: pass fewer rows",
                           size_text(needed).text);
    const uint32_t numbers[] = { (uint32_t)needed, 4 };
    if (!arrow_call(arrow, &arrow->alloc, numbers, 2, &request->address))
        return false;
    if (request->address == 0)
        return failure_set("MemoryError", "the module could not allocate a batch of %s",
                           size_text(needed).text);
    uint8_t *memory = memory_at(arrow, request->address, needed);
    if (!memory)
        return false;
    file_write(&arrow->format, columns, count, rows, memory + SLICE);
    request->length = (uint32_t)needed;
    return true;
}

bool arrow_ask(const struct arrow_module *arrow, const struct column *columns, int64_t rows,
               struct arrow_request *request, uint32_t *status)
{
    standard_error_begin();
    if (!put_request(arrow, columns, rows, request))
        return false;
    const uint32_t numbers[] = { request->address + SLICE, request->length - SLICE,
                                 request->address };
    return arrow_call(arrow, &arrow->function, numbers, 3, status);
}

bool arrow_take(const struct arrow_module *arrow, const struct arrow_request *request,
                bool iterator, struct arrow_slice *slice)
{
    const uint8_t *memory = memory_at(arrow, request->address, SLICE);
    uint32_t pair[2];
    if (!memory)
        return false;
    memcpy(pair, memory, sizeof pair);
    *slice = (struct arrow_slice){ pair[0], pair[1],
                                   iterator ? memory : memory_at(arrow, pair[0], pair[1]) };
    return slice->bytes != NULL;
}

bool arrow_give_back(const struct arrow_module *arrow, const struct arrow_slice *slice)
{
    const uint32_t numbers[] = { slice->address, slice->length, 1 };
    return arrow_call(arrow, &arrow->dealloc, numbers, 3, NULL);
}

bool arrow_end(const struct arrow_module *arrow, const struct arrow_request *request)
{
    const uint32_t numbers[] = { request->address, request->length, 4 };
    return arrow_call(arrow, &arrow->dealloc, numbers, 3, NULL);
}

void arrow_refused(const struct arrow_slice *slice)
{
    failure_set("RuntimeError", "%.*s", slice->length > MAX_SHOWN ? MAX_SHOWN : (int)slice->length,
                (const char *)slice->bytes);
}

bool arrow_texts_valid(const struct column *column, int64_t rows)
{
    for (int64_t row = 0; storage_is_text(column->storage) && row < rows; row++) {
        const struct scalar text = column_bytes(column, row);
        if (!column_is_null(column, row) && !utf8_is_valid(text.bytes, text.length))
            return failure_set("UnicodeDecodeError",
                               "the function returned text that is not valid UTF-8");
    }
    for (size_t i = 0; i < column->child_count; i++)
        if (!arrow_texts_valid(&column->children[i], column->children[i].rows))
            return false;
    return true;
}

int64_t arrow_failed_row(const struct column *errors, int64_t first, int64_t end)
{
    for (int64_t row = first; row < end; row++)
        if (!column_is_null(errors, row)) {
            const struct scalar text = column_bytes(errors, row);
            failure_set("RuntimeError", "%.*s",
                        text.length > MAX_SHOWN ? MAX_SHOWN : (int)text.length, text.bytes);
            return row;
        }
    return end;
}

int64_t arrow_null_row(const struct column *column, const uint8_t *valid, int64_t first,
                       int64_t end)
{
    for (int64_t row = first; column->validity && row < end; row++)
        if (column_is_null(column, row) && (!valid || bitmap_get(valid, row))) {
            failure_set("TypeError",
                        "the function returned a null, and the declared result has no ?");
            return row;
        }
    return end;
}
