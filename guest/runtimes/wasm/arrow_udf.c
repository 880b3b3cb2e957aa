/* See arrow_udf.h; arrow_abi.h describes these modules. */
#include "wasm/arrow_udf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasm/arrow_abi.h"
#include "wasm/arrow_scalar.h"
#include "wasm/arrow_signature.h"
#include "wasm/arrow_table.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/listing.h"

#define VERSION_PREFIX "ARROWUDF_VERSION_"
#define NEWEST_VERSION 3    /* version of the ABI; it only renamed types */
#define MAX_SHOWN      1024 /* bytes of signatures in an error */

/* ---- Finding the function ---- */

static const char *version_of(const wasm_bytes *name)
{
    return name->size > strlen(VERSION_PREFIX) &&
                   memcmp(name->data, VERSION_PREFIX, strlen(VERSION_PREFIX)) == 0
               ? name->data + strlen(VERSION_PREFIX)
               : NULL;
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

/* Returns the first number of the version. Returns 0 with a failure if the version is not
 * supported. */
static unsigned find_version(const wasm_exporttypes *exports)
{
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports->data[i]);
        const char *version = version_of(label);
        const unsigned major = version && *version >= '1' && *version <= '9'
                                   ? (unsigned)(*version - '0')
                                   : 0;
        const size_t length = version ? (size_t)(label->data + label->size - version) : 0;
        if (!version)
            continue;
        if (major > 0 && major <= NEWEST_VERSION && (length == 1 || version[1] == '_'))
            return major;
        failure_set("ImportError",
                    "the module is for version %.*s of the ABI of arrow-udf, not 1.0 to %d.0",
                    length > MAX_SHOWN ? MAX_SHOWN : (int)length, version, NEWEST_VERSION);
        return 0;
    }
    return 0;
}

static bool slots_agree(const struct slot *declared, const struct slot *found)
{
    return declared->storage == found->storage &&
           (!declared->type || type_equal(declared->type, found->type));
}

static bool types_agree(const struct signature *declared, const struct signature *types)
{
    bool agree = types->count == declared->count && slots_agree(&declared->result, &types->result);
    for (size_t i = 0; agree && i < types->count; i++)
        agree = slots_agree(&declared->parameters[i], &types->parameters[i]);
    return agree;
}

static bool is_wanted(const struct arrow_signature *signature, const wasm_exporttypes *exports,
                      unsigned version, const struct load *load)
{
    struct signature types;
    if (strcmp(signature->text, load->name) == 0)
        return true;
    if (signature->name_length != strlen(load->name) ||
        memcmp(signature->text, load->name, signature->name_length) != 0)
        return false;
    return !load->declared || (arrow_signature_types(signature, exports, version, &types) &&
                               types_agree(&load->signature, &types));
}

/* Finds the export's name and signature. Functions may share a name: the declared types choose. */
static bool find(const struct load *load, const wasm_exporttypes *exports, unsigned version,
                 char *name, size_t size, struct arrow_signature *signature)
{
    struct arrow_signature each;
    size_t matches = 0;
    struct bytes others = { 0 };
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports->data[i]);
        if (label->size >= size || !arrow_signature_take(&each, label->data, label->size))
            continue;
        bytes_text(&others, others.length > 0 ? ", " : "");
        bytes_text(&others, each.text);
        if (!is_wanted(&each, exports, version, load))
            continue;
        matches++;
        *signature = each;
        memcpy(name, label->data, label->size);
        name[label->size] = 0;
    }
    if (matches != 1)
        failure_set(matches ? "TypeError" : "AttributeError",
                    "%s function %s%s in the module, which has: %.*s",
                    matches ? "more than one" : "there is no", load->name,
                    load->declared ? " of the declared types" : "",
                    others.length > MAX_SHOWN ? MAX_SHOWN : (int)others.length,
                    (const char *)others.at);
    bytes_free(&others);
    return matches == 1;
}

/* ---- Loading ---- */

static bool check_declared(const struct load *load, const struct signature *types)
{
    const bool agrees = types_agree(&load->signature, types);
    if (!agrees)
        failure_set("TypeError", "the declared types are not those of %s in the module",
                    load->name);
    return agrees;
}

static bool take_signature(const struct arrow_signature *signature, const wasm_exporttypes *exports,
                           unsigned version, const struct load *load, struct signature *found)
{
    if (!arrow_signature_types(signature, exports, version, found))
        return false;
    const bool agrees = !load->declared || check_declared(load, found);
    if (load->declared)
        *found = load->signature;
    return agrees;
}

/* A function stored by SQL is loaded without Arrow formats, but this ABI needs an example of a
 * batch. */
static bool can_load(const struct load *load)
{
    if (!load->serves || !load_is_for_rows(load) || load->settings_length > 0)
        return true;
    return failure_set("TypeError",
                       "a function of a module for arrow-udf cannot be stored in a database: "
                       "register it, as udfvm.from_wasm makes it");
}

/* Checks the kind of a load: the host loads a table function for rows, without formats of
 * batches. */
static bool check_kind(const struct load *load, const struct arrow_signature *signature)
{
    if (!load->serves || signature->table == load_is_for_rows(load))
        return true;
    return failure_set("TypeError", "%.*s is %s in the module", MAX_SHOWN, signature->text,
                       signature->table ? "a table function" : "not a table function");
}

static struct column column_of(const struct slot *slot)
{
    return slot->type ? type_column(slot->type) : (struct column){ .storage = slot->storage };
}

static bool take_format(struct arrow_module *arrow, const struct load *load,
                        const struct settings *settings, const struct signature *found)
{
    struct column columns[MAX_PARAMETERS];
    for (size_t i = 0; i < found->count; i++)
        columns[i] = column_of(&found->parameters[i]);
    arrow->result = column_of(&found->result);
    if (!load->serves || file_format_take(&arrow->format, settings->batch, settings->batch_length,
                                          columns, found->count))
        return true;
    return failure_set("ValueError", "the request has no example of a batch for arrow-udf");
}

/* Finds the function, and takes its types. */
static bool find_function(const struct wasm_module *module, const struct load *load, char *name,
                          size_t size, struct arrow_signature *signature, struct signature *found)
{
    wasm_exporttypes exports;
    wasmtime.wasmtime_module_exports(module->module, &exports);
    const unsigned version = find_version(&exports);
    const bool done = version > 0 && find(load, &exports, version, name, size, signature) &&
                      take_signature(signature, &exports, version, load, found);
    wasmtime.wasm_exporttype_vec_delete(&exports);
    return done;
}

bool arrow_udf_prepare(struct program *program, const struct load *load,
                       const struct wasm_module *module, const struct settings *settings,
                       struct signature *found)
{
    char name[MAX_ARROW_TEXT * 2];
    struct arrow_signature signature;
    struct arrow_module arrow = { .module = *module, .signature = &program->signature };
    if (!can_load(load) || !find_function(module, load, name, sizeof name, &signature, found) ||
        !check_kind(load, &signature) || !arrow_find(&arrow, name) ||
        !take_format(&arrow, load, settings, found))
        return false;
    if (signature.table)
        return arrow_table_prepare(program, &arrow, found);
    arrow_scalar_prepare(program, &arrow, found);
    return true;
}

void arrow_udf_list(const wasmtime_module *module, struct bytes *list)
{
    wasm_exporttypes exports;
    struct arrow_signature each;
    wasmtime.wasmtime_module_exports(module, &exports);
    const unsigned version = find_version(&exports);
    for (size_t i = 0; i < exports.size; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports.data[i]);
        struct signature types = { 0 };
        if (!arrow_signature_take(&each, label->data, label->size))
            continue;
        if (version > 0 && arrow_signature_types(&each, &exports, version, &types))
            listing_function(list, each.text, strlen(each.text), &types, each.table,
                             "function for arrow-udf");
        else
            listing_unusable(list, each.text, strlen(each.text));
    }
    wasmtime.wasm_exporttype_vec_delete(&exports);
}
