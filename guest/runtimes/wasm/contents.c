/* LIST of modules and components: see runtime_list() of shared/compiled/program.h. Nothing is
 * instantiated, so imports need not be there, and functions need no bodies. */
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/listing.h"
#include "wasm/aggregate_parts.h"
#include "wasm/arrow_udf.h"
#include "wasm/command.h"
#include "wasm/compiled_code.h"
#include "wasm/component.h"
#include "wasm/component_host.h"
#include "wasm/component_parts.h"
#include "wasm/emitter.h"
#include "wasm/emptied_code.h"
#include "wasm/export_type.h"
#include "wasm/interface.h"
#include "wasm/known_import.h"
#include "wasm/module_table.h"
#include "wasm/value_type.h"
#include "wasm/wasi.h"

/* ---- Modules ---- */

static void list_command(struct bytes *list)
{
    const struct signature signature = { .count = 1,
                                         .result = { STORAGE_TEXT32, false, "result", NULL },
                                         .parameters = {
                                             { STORAGE_TEXT32, false, "stdin", NULL } } };
    listing_function(list, COMMAND_EXPORT, strlen(COMMAND_EXPORT), &signature, false,
                     "WASI command");
}

/* Lists an export that is a table function. Returns false if it is none. */
static bool list_table(struct bytes *list, const wasmtime_module *module, const wasm_bytes *name)
{
    char label[256];
    struct signature signature;
    if (name->size >= sizeof label)
        return false;
    memcpy(label, name->data, name->size);
    label[name->size] = 0;
    if (!module_table_is(module, label) || !module_table_signature(module, label, &signature))
        return false;
    listing_function(list, label, name->size, &signature, true, "table function");
    return true;
}

static void list_export(struct bytes *list, const wasmtime_module *module, const wasm_bytes *name,
                        const wasm_functype *type)
{
    struct export_type found;
    struct signature signature;
    if (name->size == strlen(COMMAND_EXPORT) &&
        memcmp(name->data, COMMAND_EXPORT, name->size) == 0) {
        list_command(list);
        return;
    }
    if (list_table(list, module, name))
        return;
    const bool taken = export_type_take(type, "", &found);
    if (taken && found.parameter_count <= MAX_PARAMETERS) {
        export_type_describe(&found, &signature);
        listing_function(list, name->data, name->size, &signature, false, "function");
        return;
    }
    if (taken)
        failure_set("TypeError", "it has more than %d parameters", MAX_PARAMETERS);
    listing_unusable(list, name->data, name->size);
}

/* Lists the aggregate that an export takes the rows of, if it is NAME_step. */
static void list_aggregate(struct bytes *list, const wasmtime_module *module,
                           const wasm_bytes *name)
{
    static const char suffix[] = "_step";
    char label[256];
    struct signature signature;
    struct aggregate_parts parts;
    const size_t length = name->size < strlen(suffix) ? 0 : name->size - strlen(suffix);
    if (length == 0 || length >= sizeof label ||
        memcmp(name->data + length, suffix, strlen(suffix)) != 0)
        return;
    memcpy(label, name->data, length);
    label[length] = 0;
    if (!aggregate_parts_are(module, label) || !aggregate_parts_find(&parts, module, label) ||
        parts.step.exported.type.parameter_count > MAX_PARAMETERS)
        return;
    aggregate_parts_describe(&parts, &signature);
    listing_function(list, label, length, &signature, false, "aggregate");
}

static void list_exports(struct bytes *list, const wasmtime_module *module)
{
    wasm_exporttypes exports;
    wasmtime.wasmtime_module_exports(module, &exports);
    for (size_t i = 0; i < exports.size; i++) {
        const wasm_externtype *what = wasmtime.wasm_exporttype_type(exports.data[i]);
        const wasm_bytes *name = wasmtime.wasm_exporttype_name(exports.data[i]);
        if (wasmtime.wasm_externtype_kind(what) != WASM_EXTERN_FUNC)
            continue;
        list_export(list, module, name, wasmtime.wasm_externtype_as_functype_const(what));
        list_aggregate(list, module, name);
    }
    wasmtime.wasm_exporttype_vec_delete(&exports);
}

static void list_import(struct bytes *list, const struct import_name *import,
                        const wasm_externtype *what)
{
    const uint8_t kind = wasmtime.wasm_externtype_kind(what);
    const wasm_functype *function = kind == WASM_EXTERN_FUNC
                                        ? wasmtime.wasm_externtype_as_functype_const(what)
                                        : NULL;
    struct bytes name = { 0 }, type = { 0 };
    interface_list(&name, import->module, ".", import->name);
    if (function) {
        struct bytes text = { 0 };
        function_type_write(function, &text);
        bytes_text(&type, text.length > 0 ? "(func " : "(func");
        bytes_put(&type, text.at, text.length);
        bytes_text(&type, ")");
        bytes_free(&text);
    } else {
        bytes_text(&type, interface_kind(kind));
    }
    listing_import(list, &name, &type,
                   wasi_is_module(import->module) ? "WASI preview 1"
                   : kind == WASM_EXTERN_MEMORY || (function && (emitter_is(import, NULL) ||
                                                                 known_import_is(import, function)))
                       ? "the runtime"
                       : "");
    bytes_free(&name);
    bytes_free(&type);
}

static void list_imports(struct bytes *list, const wasmtime_module *module)
{
    wasm_importtypes imports;
    wasmtime.wasmtime_module_imports(module, &imports);
    for (size_t i = 0; i < imports.size; i++) {
        const struct import_name import = { wasmtime.wasm_importtype_module(imports.data[i]),
                                            wasmtime.wasm_importtype_name(imports.data[i]) };
        list_import(list, &import, wasmtime.wasm_importtype_type(imports.data[i]));
    }
    wasmtime.wasm_importtype_vec_delete(&imports);
}

/* ---- Components ---- */

struct component_list {
    struct bytes *list;
    const wasmtime_component *component;
};

/* Cuts the name of an aggregate out of that of the function that takes its rows: "name-step", or
 * "[method]name.step". Returns false for other functions. */
static bool name_of_rows(const wasm_bytes *name, wasm_bytes *of)
{
    static const char method[] = "[method]";
    const size_t suffix = strlen("-step");
    *of = *name;
    if (name->size <= suffix || memcmp(name->data + name->size - suffix + 1, "step", 4) != 0)
        return false;
    of->size -= suffix;
    if (of->data[of->size] != '.')
        return of->data[of->size] == '-';
    if (of->size <= strlen(method) || memcmp(of->data, method, strlen(method)) != 0)
        return false;
    of->data += strlen(method);
    of->size -= strlen(method);
    return true;
}

static void list_component_aggregate(const struct component_list *context,
                                     const wasm_bytes *interface, const wasm_bytes *name)
{
    struct component_parts parts;
    struct bytes label = { 0 };
    wasm_bytes own;
    if (!name_of_rows(name, &own))
        return;
    interface_list(&label, interface, interface->size > 0 ? "#" : "", &own);
    bytes_put(&label, "", 1);
    if (component_parts_are(context->component, (const char *)label.at)) {
        if (component_parts_find(&parts, context->component, (const char *)label.at))
            listing_function(context->list, (const char *)label.at, label.length - 1,
                             &parts.signature, false, "aggregate");
        component_parts_clear(&parts);
    }
    bytes_free(&label);
}

static void list_component_export(void *context, const wasm_bytes *interface,
                                  const wasm_bytes *name, const wasmtime_component_functype *type)
{
    const struct component_list *to = context;
    struct bytes label = { 0 };
    struct signature signature;
    interface_list(&label, interface, interface->size > 0 ? "#" : "", name);
    if (component_signature(type, &signature))
        listing_function(to->list, (const char *)label.at, label.length, &signature, false,
                         "function of a component");
    else
        listing_unusable(to->list, (const char *)label.at, label.length);
    bytes_free(&label);
    list_component_aggregate(to, interface, name);
}

static void list_component_import(void *context, const wasm_bytes *interface,
                                  const wasm_bytes *name, const wasmtime_component_functype *type)
{
    struct bytes label = { 0 }, text = { 0 };
    (void)type;
    interface_list(&label, interface, interface->size > 0 ? "#" : "", name);
    bytes_text(&text, "function of a component");
    listing_import(context, &label, &text,
                   component_import_is_wasi(interface->data, interface->size) ? "WASI 0.2" : "");
    bytes_free(&label);
    bytes_free(&text);
}

/* Takes the code of a load without what takes time to compile, where it is in the binary format. */
static bool take_emptied(const struct load *load, bool compiled, struct compiled_code *code)
{
    struct bytes emptied = { 0 };
    struct load changed = *load;
    if (!compiled && emptied_code(load->code, load->code_length, &emptied)) {
        changed.code = emptied.at;
        changed.code_length = emptied.length;
    }
    return code_take(&changed, compiled, code);
}

bool runtime_list(const struct load *load, struct bytes *list)
{
    struct settings settings;
    struct compiled_code code;
    if (!settings_take(&settings, load) || !take_emptied(load, settings.compiled, &code))
        return false;
    if (code.component) {
        struct component_list exports = { list, code.component };
        component_each_export(code.component, engine_used(), list_component_export, &exports);
        component_each_import(code.component, engine_used(), list_component_import, list);
        return true;
    }
    if (arrow_udf_is(code.module))
        arrow_udf_list(code.module, list);
    else
        list_exports(list, code.module);
    list_imports(list, code.module);
    return true; /* nothing is freed: the VM is restored after this */
}
