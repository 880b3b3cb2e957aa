/* See arrow_udf.h.
 *
 * The ABI (arrow-udf 0.6: arrow-udf/src/ffi.rs and arrow-udf-runtime/src/wasm/mod.rs): the module exports `memory`, `alloc(length, align) -> address`,
 * `dealloc(address, length, align)`, a global ARROWUDF_VERSION_major_minor, and its functions, f(address, length, slice) -> status, under
 * names that say their signatures. A function is given an Arrow IPC file, and puts the address and length of what it made into the slice:
 * where the status is 0, a file whose first column is the result and whose second one, if there is one, the error of each row; otherwise a
 * message. Both sides of a call are the caller's to deallocate. */
#include "arrow_udf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrow_file.h"
#include "arrow_signature.h"
#include "failure.h"
#include "problem.h"
#include "utf8.h"

#define VERSION_PREFIX "ARROWUDF_VERSION_"
#define VERSION_MAJOR 3
#define SLICE 8                                  /* bytes of two 32-bit numbers, address and length */

struct arrow_udf {
    struct module module;
    wasmtime_memory memory;
    wasmtime_func alloc, dealloc, function;
    struct file_format format;
    const struct signature *signature;
};

/* ---- Finding the function ---- */

static const char *version_of(const wasm_bytes *name)
{
    return name->size > strlen(VERSION_PREFIX) && memcmp(name->data, VERSION_PREFIX, strlen(VERSION_PREFIX)) == 0
               ? name->data + strlen(VERSION_PREFIX) : NULL;
}

bool arrow_udf_is(const wasmtime_module *module)
{
    wasm_exporttypes exports;
    bool found = false;
    wasmtime.wasmtime_module_exports(module, &exports);
    for (size_t i = 0; i < exports.size && !found; i++)
        found = version_of(wasmtime.wasm_exporttype_name(exports.data[i])) != NULL;
    wasmtime.wasm_exporttype_vec_delete(&exports);
    return found;
}

static bool is_wanted(const struct arrow_signature *signature, const struct load *load)
{
    const struct signature *declared = &load->signature;
    struct signature types;
    bool precise;
    if (strcmp(signature->text, load->name) == 0)
        return true;
    if (signature->name_length != strlen(load->name) || memcmp(signature->text, load->name, signature->name_length) != 0)
        return false;
    if (!load->declared)
        return true;
    if (!arrow_signature_types(signature, &types, &precise) || types.count != declared->count
        || types.result.storage != declared->result.storage)
        return false;
    for (size_t i = 0; i < types.count; i++)
        if (types.parameters[i].storage != declared->parameters[i].storage)
            return false;
    return true;
}

/* The export's name and signature. Functions may share a name: then the declared types tell. */
static bool find(const struct load *load, const wasm_exporttypes *exports, char *name, size_t size, struct arrow_signature *signature)
{
    struct arrow_signature each;
    size_t matches = 0;
    char others[1024] = "";
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports->data[i]);
        const char *version = version_of(label);
        if (version && strtoul(version, NULL, 10) != VERSION_MAJOR) {
            failure_set("ImportError", "the module is for version %.*s of the ABI of arrow-udf, not %d.0", (int)(label->data + label->size - version),
                        version, VERSION_MAJOR);
            return false;
        }
        if (label->size >= size || !arrow_signature_take(&each, label->data, label->size))
            continue;
        const size_t used = strlen(others);
        snprintf(others + used, sizeof others - used, "%s%s", used ? ", " : "", each.text);
        if (!is_wanted(&each, load))
            continue;
        matches++;
        *signature = each;
        memcpy(name, label->data, label->size);
        name[label->size] = 0;
    }
    if (matches != 1)
        failure_set(matches ? "TypeError" : "AttributeError", "%s function %s%s in the module, which has: %s", matches ? "more than one" : "there is no",
                    load->name, load->declared ? " of the declared types" : "", others);
    return matches == 1;
}

static bool find_function(const struct module *module, const struct load *load, char *name, size_t size, struct arrow_signature *signature)
{
    wasm_exporttypes exports;
    wasmtime.wasmtime_module_exports(module->module, &exports);
    const bool found = find(load, &exports, name, size, signature);
    wasmtime.wasm_exporttype_vec_delete(&exports);
    if (found && signature->table) {
        failure_set("TypeError", "%s is a table function, which no UDF can be", signature->text);
        return false;
    }
    return found;
}

static bool find_exports(struct arrow_udf *udf, const char *name)
{
    wasmtime_extern memory, alloc, dealloc, function;
    const bool found = module_export(&udf->module, "memory", WASMTIME_MEMORY, &memory) && module_export(&udf->module, "alloc", WASMTIME_FUNC, &alloc)
                       && module_export(&udf->module, "dealloc", WASMTIME_FUNC, &dealloc)
                       && module_export(&udf->module, name, WASMTIME_FUNC, &function);
    if (!found) {
        failure_set("ImportError", "the module does not export memory, alloc and dealloc, as the ABI of arrow-udf has them");
        return false;
    }
    udf->memory = memory.of.memory;
    udf->alloc = alloc.of.func;
    udf->dealloc = dealloc.of.func;
    udf->function = function.of.func;
    return true;
}

/* ---- Calls ---- */

/* Calls with numbers; *result may be NULL where there is none. wasmtime checks them against the function's type. */
static bool call(const struct arrow_udf *udf, const wasmtime_func *function, const uint32_t *numbers, size_t count, uint32_t *result)
{
    wasmtime_val arguments[3], results[1];
    wasm_trap *trap = NULL;
    for (size_t i = 0; i < count; i++)
        arguments[i] = (wasmtime_val){ .kind = WASM_I32, .of.i32 = (int32_t)numbers[i] };
    wasmtime_error *error = wasmtime.wasmtime_func_call(udf->module.context, function, arguments, count, results, result ? 1 : 0, &trap);
    if (problem("RuntimeError", error, trap))
        return false;
    if (result)
        *result = (uint32_t)results[0].of.i32;
    return true;
}

/* Memory of the module; NULL, with a failure, where that is not inside. */
static uint8_t *memory_at(const struct arrow_udf *udf, uint32_t address, uint64_t length)
{
    const size_t size = wasmtime.wasmtime_memory_data_size(udf->module.context, &udf->memory);
    if (address <= size && length <= size - address)
        return wasmtime.wasmtime_memory_data(udf->module.context, &udf->memory) + address;
    failure_set("RuntimeError", "the module named %llu bytes at 0x%x, which are not inside of its memory", (unsigned long long)length, address);
    return NULL;
}

static bool deallocate(const struct arrow_udf *udf, uint32_t address, uint32_t length, uint32_t align)
{
    const uint32_t numbers[] = { address, length, align };
    return call(udf, &udf->dealloc, numbers, 3, NULL);
}

/* A place for a slice and the file behind it, filled. */
static bool put_request(const struct arrow_udf *udf, const struct column *columns, int64_t rows, uint32_t *address, uint32_t *length)
{
    const uint64_t needed = SLICE + file_length(&udf->format, columns, udf->signature->count, rows);
    if (needed > INT32_MAX) {
        failure_set("MemoryError", "the batch has %llu bytes, too many for the module", (unsigned long long)needed);
        return false;
    }
    const uint32_t numbers[] = { (uint32_t)needed, 4 };
    if (!call(udf, &udf->alloc, numbers, 2, address))
        return false;
    if (*address == 0) {
        failure_set("MemoryError", "the module has no memory for a batch of %llu bytes", (unsigned long long)needed);
        return false;
    }
    uint8_t *memory = memory_at(udf, *address, needed);
    if (!memory)
        return false;
    file_write(&udf->format, columns, udf->signature->count, rows, memory + SLICE);
    *length = (uint32_t)needed;
    return true;
}

/* ---- Results ---- */

static struct scalar bytes_at(const struct column *column, int64_t row)
{
    int32_t places[2];
    memcpy(places, (const uint8_t *)column->offsets + (size_t)row * sizeof(int32_t), sizeof places);
    return (struct scalar){ .bytes = (const char *)column->data + places[0], .length = (size_t)(places[1] - places[0]) };
}

/* The row that has an error, or `rows`. A row that was null before has none. */
static int64_t failed_row(const struct column *errors, const struct block *block, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++)
        if (!column_is_null(errors, row) && block->output[block->validity + (uint64_t)(row >> 3)] >> (row & 7) & 1) {
            const struct scalar text = bytes_at(errors, row);
            failure_set("RuntimeError", "%.*s", text.length > 1800 ? 1800 : (int)text.length, text.bytes);
            return row;
        }
    return rows;
}

/* The row that is null although the declared result may not be, or `rows`. */
static int64_t null_row(const struct column *column, const struct block *block, int64_t rows)
{
    for (int64_t row = 0; column->validity && row < rows; row++)
        if (column_is_null(column, row) && block->output[block->validity + (uint64_t)(row >> 3)] >> (row & 7) & 1) {
            failure_set("TypeError", "the function returned a null, and the declared result has no ?");
            return row;
        }
    return rows;
}

static int64_t put_texts(struct block *block, const struct column *column, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++) {
        const bool valid = block->output[block->validity + (uint64_t)(row >> 3)] >> (row & 7) & 1;
        const struct scalar text = valid ? bytes_at(column, row) : (struct scalar){ .length = 0 };
        if (block->storage == STORAGE_TEXT32 && !utf8_is_valid(text.bytes, text.length)) {
            failure_set("UnicodeDecodeError", "the function returned text that is not valid UTF-8");
            return row;
        }
        if (!block_put(block, row, &text)) {
            failure_set("OverflowError", "the results of this batch are too large for one column");
            return row;
        }
    }
    return rows;
}

/* Takes the file that the function returned. Returns the number of rows done, -1 where it cannot be said. */
static int64_t take_batch(const struct arrow_udf *udf, const uint8_t *file, uint32_t length, struct block *block, int64_t rows)
{
    struct column columns[2] = { { .storage = udf->signature->result.storage }, { .storage = STORAGE_TEXT32 } };
    uint8_t *validity = block->output + block->validity;
    size_t count;
    int64_t found;
    if (!file_read(file, length, columns, 2, &count, &found) || count == 0 || found != rows) {
        failure_set("RuntimeError", "the module returned %u bytes, which are no Arrow IPC file of %lld rows with the declared result", length, (long long)rows);
        return -1;
    }
    const int64_t done = count == 2 ? failed_row(&columns[1], block, rows) : rows;
    if (done < rows)
        return done;
    const int64_t null = udf->signature->result.nullable ? rows : null_row(&columns[0], block, rows);
    if (null < rows)
        return null;
    for (uint64_t byte = 0; columns[0].validity && byte < block_validity_bytes(block); byte++)
        validity[byte] &= columns[0].validity[byte];
    if (storage_is_variable(block->storage))
        return put_texts(block, &columns[0], rows);
    memcpy(block->output + block->data, columns[0].data, block->data_bytes);
    return rows;
}

/* What the function left in the slice, taken and deallocated. */
static int64_t take_reply(const struct arrow_udf *udf, uint32_t status, uint32_t slice, struct block *block, int64_t rows)
{
    uint32_t places[2];
    const uint8_t *memory = memory_at(udf, slice, SLICE);
    if (!memory)
        return -1;
    memcpy(places, memory, sizeof places);
    memory = memory_at(udf, places[0], places[1]);
    if (!memory)
        return -1;
    int64_t done = -1;
    if (status == 0)
        done = take_batch(udf, memory, places[1], block, rows);
    else
        failure_set("RuntimeError", "%.*s", places[1] > 1800 ? 1800 : (int)places[1], (const char *)memory);
    return done < rows || deallocate(udf, places[0], places[1], 1) ? done : -1;
}

static int64_t run_arrow_udf(void *context, const struct column *columns, struct block *block, int64_t rows, bool skips)
{
    (void)skips;
    const struct arrow_udf *udf = context;
    uint32_t address, length, status;
    if (!put_request(udf, columns, rows, &address, &length))
        return -1;
    const uint32_t numbers[] = { address + SLICE, length - SLICE, address };
    if (!call(udf, &udf->function, numbers, 3, &status))
        return -1;
    const int64_t done = take_reply(udf, status, address, block, rows);
    return done < rows || deallocate(udf, address, length, 4) ? done : -1;
}

/* ---- Loading ---- */

static bool check_declared(const struct load *load, const struct signature *types)
{
    bool agrees = load->signature.count == types->count && load->signature.result.storage == types->result.storage;
    for (size_t i = 0; agrees && i < types->count; i++)
        agrees = load->signature.parameters[i].storage == types->parameters[i].storage;
    if (!agrees)
        failure_set("TypeError", "the declared types are not those of %s in the module", load->name);
    return agrees;
}

static bool take_signature(const struct arrow_signature *signature, const struct load *load, struct signature *found)
{
    bool precise;
    if (!arrow_signature_types(signature, found, &precise))
        return false;
    if (load->declared) {
        const bool agrees = check_declared(load, found);
        *found = load->signature;
        return agrees;
    }
    if (!precise)
        failure_set("TypeError", "%s takes or returns dates or timestamps: pass signature=, with date32[day] and timestamp[us]", signature->text);
    return precise;
}

bool arrow_udf_prepare(struct program *program, const struct load *load, const struct module *module, const struct settings *settings,
                       struct signature *found)
{
    char name[ARROW_TEXT * 2];
    struct arrow_signature signature;
    struct arrow_udf *udf = calloc(1, sizeof *udf);
    if (!udf)
        abort();
    *udf = (struct arrow_udf){ .module = *module, .signature = &program->signature };
    bool done = find_function(module, load, name, sizeof name, &signature) && find_exports(udf, name)
                && take_signature(&signature, load, found);
    if (done && load->declared && !file_format_take(&udf->format, settings->batch, settings->batch_length)) {
        failure_set("ValueError", "the request has no example of a batch for arrow-udf");
        done = false;
    }
    if (!done)
        free(udf);
    program->run = run_arrow_udf;
    program->context = udf;
    return done;
}
