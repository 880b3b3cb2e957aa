/* See interface.h. */
#include "wasm/interface.h"

#include <string.h>

#include "shared/compiled/bytes.h"
#include "shared/compiled/failure.h"

#define MAX_SHOWN      1400 /* bytes of a list; a failure holds 2048 */
#define MAX_NAME_SHOWN 400

static void list_name(struct bytes *list, const char *interface, size_t interface_length,
                      const char *separator, const char *name, size_t length)
{
    bytes_text(list, list->length > 0 ? ", " : "");
    bytes_put(list, interface, interface_length);
    bytes_text(list, separator);
    bytes_put(list, name, length);
}

static int shown(const struct bytes *list)
{
    return list->length > MAX_SHOWN ? MAX_SHOWN : (int)list->length;
}

static const char *mark(const struct bytes *list)
{
    return list->length > MAX_SHOWN ? ", ..." : "";
}

/* These two set a failure, and free the list. */
static void fail_no_export(const char *what, const char *name, struct bytes *list)
{
    failure_set("AttributeError", "the %s exports no function %.*s%s%.*s%s", what, MAX_NAME_SHOWN,
                name, list->length > 0 ? "; it has " : ": it has none", shown(list),
                list->length > 0 ? (const char *)list->at : "", mark(list));
    bytes_free(list);
}

void interface_list(struct bytes *list, const wasm_bytes *interface, const char *separator,
                    const wasm_bytes *name)
{
    list_name(list, interface->data, interface->size, separator, name->data, name->size);
}

bool interface_complete(const char *what, bool component, struct bytes *list)
{
    if (list->length == 0)
        return true;
    failure_set("LinkError",
                "%.*s imports what a micro-VM does not have: %.*s%s; it has %s: pass functions "
                "in host_functions=%s, or imports='trap', so that only calls of them fail",
                MAX_NAME_SHOWN, what, shown(list), (const char *)list->at, mark(list),
                component ? "WASI 0.2" : "WASI preview 1",
                component ? "" : ", modules in modules=");
    bytes_free(list);
    return false;
}

bool module_function(const wasmtime_module *module, const char *name, export_taker *take,
                     void *into)
{
    wasm_exporttypes exports;
    struct bytes list = { 0 };
    bool found = false, fits = true;
    wasmtime.wasmtime_module_exports(module, &exports);
    for (size_t i = 0; i < exports.size && !found; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports.data[i]);
        const wasm_externtype *what = wasmtime.wasm_exporttype_type(exports.data[i]);
        if (wasmtime.wasm_externtype_kind(what) != WASM_EXTERN_FUNC)
            continue;
        found = label->size == strlen(name) && memcmp(label->data, name, label->size) == 0;
        if (!found)
            list_name(&list, "", 0, "", label->data, label->size);
        else if (take)
            fits = take(wasmtime.wasm_externtype_as_functype_const(what), name, into);
    }
    wasmtime.wasm_exporttype_vec_delete(&exports);
    if (found)
        bytes_free(&list);
    else
        fail_no_export("module", name, &list);
    return found && fits;
}

static void list_interface(struct bytes *list, const wasmtime_component_instance_type *type,
                           const wasm_engine *engine, const char *interface, size_t length);

/* Appends a function as "function" or "interface#function", or all functions of an interface.
 * Takes over the item. */
static void list_item(struct bytes *list, const wasm_engine *engine, const char *interface,
                      size_t interface_length, const char *name, size_t length,
                      wasmtime_component_extern *what)
{
    wasmtime_component_item item;
    wasmtime.wasmtime_component_extern_type(what, &item);
    if (item.kind == COMPONENT_ITEM_FUNC)
        list_name(list, interface, interface_length, interface_length > 0 ? "#" : "", name, length);
    else if (item.kind == COMPONENT_ITEM_INSTANCE && interface_length == 0)
        list_interface(list, item.of.instance, engine, name, length);
    wasmtime.wasmtime_component_item_delete(&item);
    wasmtime.wasmtime_component_extern_delete(what);
}

static void list_interface(struct bytes *list, const wasmtime_component_instance_type *type,
                           const wasm_engine *engine, const char *interface, size_t length)
{
    const size_t count = wasmtime.wasmtime_component_instance_type_export_count(type, engine);
    const char *name;
    size_t name_length;
    wasmtime_component_extern *what;
    for (size_t i = 0; i < count; i++)
        if (wasmtime.wasmtime_component_instance_type_export_nth(type, engine, i, &name,
                                                                 &name_length, &what))
            list_item(list, engine, interface, length, name, name_length, what);
}

void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name)
{
    struct bytes list = { 0 };
    wasmtime_component_componenttype *type = wasmtime.wasmtime_component_type(component);
    const size_t count = wasmtime.wasmtime_component_type_export_count(type, engine);
    const char *label;
    size_t length;
    wasmtime_component_extern *what;
    for (size_t i = 0; i < count; i++)
        if (wasmtime.wasmtime_component_type_export_nth(type, engine, i, &label, &length, &what))
            list_item(&list, engine, "", 0, label, length, what);
    wasmtime.wasmtime_component_type_delete(type);
    fail_no_export("component", name, &list);
}
