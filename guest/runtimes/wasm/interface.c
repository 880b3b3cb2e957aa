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

const char *interface_kind(uint8_t kind)
{
    static const char *const names[] = { [WASM_EXTERN_FUNC] = "function",
                                         [WASM_EXTERN_GLOBAL] = "global",
                                         [WASM_EXTERN_TABLE] = "table",
                                         [WASM_EXTERN_MEMORY] = "memory" };
    return kind < sizeof names / sizeof *names ? names[kind] : "tag";
}

static const char *remedy(bool component, bool traps)
{
    if (traps)
        return "pass a module that exports them in modules=: imports='trap' is for functions alone";
    return component ? "pass functions in host_functions=, or imports='trap', so that only calls "
                       "of them fail"
                     : "pass functions in host_functions=, modules in modules=, or "
                       "imports='trap', so that only calls of them fail";
}

bool interface_complete(const char *what, bool component, bool traps, struct bytes *list)
{
    if (list->length == 0)
        return true;
    failure_set("LinkError", "%.*s imports what a micro-VM does not have: %.*s%s; it has %s: %s",
                MAX_NAME_SHOWN, what, shown(list), (const char *)list->at, mark(list),
                component ? "WASI 0.2" : "WASI preview 1", remedy(component, traps));
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

struct visit {
    const wasm_engine *engine;
    component_visitor *visit;
    void *context;
};

/* Visits a function, or all functions of an interface. Takes over the item. */
static void visit_item(const struct visit *visit, const wasm_bytes *interface,
                       const wasm_bytes *name, wasmtime_component_extern *what)
{
    wasmtime_component_item item;
    wasmtime.wasmtime_component_extern_type(what, &item);
    if (item.kind == COMPONENT_ITEM_FUNC)
        visit->visit(visit->context, interface, name, item.of.function);
    const bool instance = item.kind == COMPONENT_ITEM_INSTANCE && interface->size == 0;
    const size_t count = instance ? wasmtime.wasmtime_component_instance_type_export_count(
                                        item.of.instance, visit->engine)
                                  : 0;
    for (size_t i = 0; i < count; i++) {
        const char *inner;
        size_t length;
        wasmtime_component_extern *export;
        if (wasmtime.wasmtime_component_instance_type_export_nth(item.of.instance, visit->engine, i,
                                                                 &inner, &length, &export))
            visit_item(visit, name, &(wasm_bytes){ length, (char *)inner }, export);
    }
    wasmtime.wasmtime_component_item_delete(&item);
    wasmtime.wasmtime_component_extern_delete(what);
}

static void visit_all(const struct visit *visit, const wasmtime_component *component, bool imports)
{
    static const wasm_bytes none = { 0, "" };
    wasmtime_component_componenttype *type = wasmtime.wasmtime_component_type(component);
    const size_t count = (imports
                              ? wasmtime.wasmtime_component_type_import_count
                              : wasmtime.wasmtime_component_type_export_count)(type, visit->engine);
    const char *label;
    size_t length;
    wasmtime_component_extern *what;
    for (size_t i = 0; i < count; i++)
        if ((imports ? wasmtime.wasmtime_component_type_import_nth
                     : wasmtime.wasmtime_component_type_export_nth)(type, visit->engine, i, &label,
                                                                    &length, &what))
            visit_item(visit, &none, &(wasm_bytes){ length, (char *)label }, what);
    wasmtime.wasmtime_component_type_delete(type);
}

void component_each_export(const wasmtime_component *component, const wasm_engine *engine,
                           component_visitor *visit, void *context)
{
    visit_all(&(struct visit){ engine, visit, context }, component, false);
}

void component_each_import(const wasmtime_component *component, const wasm_engine *engine,
                           component_visitor *visit, void *context)
{
    visit_all(&(struct visit){ engine, visit, context }, component, true);
}

static void list_function(void *context, const wasm_bytes *interface, const wasm_bytes *name,
                          const wasmtime_component_functype *type)
{
    (void)type;
    interface_list(context, interface, interface->size > 0 ? "#" : "", name);
}

void component_fail_no_export(const wasmtime_component *component, const wasm_engine *engine,
                              const char *name)
{
    struct bytes list = { 0 };
    component_each_export(component, engine, list_function, &list);
    fail_no_export("component", name, &list);
}
