/* See arrow_udf.h, and arrow_abi.h for what these modules are. */
#include "arrow_udf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrow_abi.h"
#include "arrow_signature.h"
#include "arrow_table.h"
#include "failure.h"
#include "utf8.h"

#define VERSION_PREFIX "ARROWUDF_VERSION_"
#define VERSION_MAJOR 3

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
    return found;
}

/* ---- Results ---- */

/* The row that has an error, or `rows`. A row that was null before is passed over: its error is of nothing. */
static int64_t failed_row(const struct column *errors, const struct block *block, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++)
        if (block->output[block->validity + (uint64_t)(row >> 3)] >> (row & 7) & 1 && arrow_failed_row(errors, row, row + 1) == row)
            return row;
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
        const struct scalar text = valid ? arrow_bytes(column, row) : (struct scalar){ .length = 0 };
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
static int64_t take_batch(const struct arrow_module *arrow, const struct arrow_slice *slice, struct block *block, int64_t rows)
{
    struct column columns[2] = { { .storage = arrow->signature->result.storage }, { .storage = STORAGE_TEXT32 } };
    uint8_t *validity = block->output + block->validity;
    size_t count;
    int64_t found;
    if (!file_read(slice->bytes, slice->length, columns, 2, &count, &found) || count == 0 || found != rows) {
        failure_set("RuntimeError", "the module returned %u bytes, which are no Arrow IPC file of %lld rows with the declared result",
                    slice->length, (long long)rows);
        return -1;
    }
    const int64_t done = count == 2 ? failed_row(&columns[1], block, rows) : rows;
    if (done < rows)
        return done;
    const int64_t null = arrow->signature->result.nullable ? rows : null_row(&columns[0], block, rows);
    if (null < rows)
        return null;
    for (uint64_t byte = 0; columns[0].validity && byte < block_validity_bytes(block); byte++)
        validity[byte] &= columns[0].validity[byte];
    if (storage_is_variable(block->storage))
        return put_texts(block, &columns[0], rows);
    memcpy(block->output + block->data, columns[0].data, block->data_bytes);
    return rows;
}

static int64_t run_arrow_udf(void *context, const struct column *columns, struct block *block, int64_t rows, bool skips)
{
    (void)skips;
    const struct arrow_module *arrow = context;
    struct arrow_request request;
    struct arrow_slice slice;
    uint32_t status;
    int64_t done = -1;
    if (!arrow_ask(arrow, columns, rows, &request, &status) || !arrow_take(arrow, &request, false, &slice))
        return -1;
    if (status == 0)
        done = take_batch(arrow, &slice, block, rows);
    else
        arrow_refused(&slice);
    return done < rows || (arrow_give_back(arrow, &slice) && arrow_end(arrow, &request)) ? done : -1;
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

/* What SQL stores is loaded without Arrow formats, and an example of a batch is one. */
static bool can_load(const struct load *load)
{
    if (!load->declared || !load_is_for_rows(load) || load->settings_length > 0)
        return true;
    failure_set("TypeError", "a function of a module for arrow-udf cannot be stored in a database: register it, as udfvm.from_wasm makes it");
    return false;
}

static bool take_format(struct arrow_module *arrow, const struct load *load, const struct settings *settings)
{
    if (!load->declared || file_format_take(&arrow->format, settings->batch, settings->batch_length))
        return true;
    failure_set("ValueError", "the request has no example of a batch for arrow-udf");
    return false;
}

static void set_scalar(struct program *program, const struct arrow_module *arrow)
{
    struct arrow_module *kept = malloc(sizeof *kept);
    if (!kept)
        abort();
    *kept = *arrow;
    program->run = run_arrow_udf;
    program->context = kept;
}

bool arrow_udf_prepare(struct program *program, const struct load *load, const struct module *module, const struct settings *settings,
                       struct signature *found)
{
    char name[ARROW_TEXT * 2];
    struct arrow_signature signature;
    struct arrow_module arrow = { .module = *module, .signature = &program->signature };
    if (!can_load(load) || !find_function(module, load, name, sizeof name, &signature) || !arrow_find(&arrow, name) || !take_signature(&signature, load, found)
        || !take_format(&arrow, load, settings))
        return false;
    if (signature.table)
        return arrow_table_prepare(program, &arrow);
    set_scalar(program, &arrow);
    return true;
}
