/* See component_parts.h. Types come from the component as it is compiled, without an instance. */
#include "wasm/component_parts.h"

#include <stdio.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/interface.h"
#include "wasm/module.h"

#define MAX_LABEL 320 /* bytes of the name of a part */

static const char *const suffixes[PART_COUNT] = { "init",  "step", "finish", "inverse",
                                                  "merge", "save", "load" };

/* ---- Names ---- */

/* Writes the name of a part: "interface#name-step", or "interface#[method]name.step". */
static const char *label_of(char label[MAX_LABEL], const char *name, bool of_resource,
                            enum component_part_name part)
{
    const char *hash = strchr(name, '#'), *own = hash ? hash + 1 : name;
    const int interface = (int)(own - name);
    if (!of_resource)
        snprintf(label, MAX_LABEL, "%s-%s", name, suffixes[part]);
    else if (part == PART_INIT)
        snprintf(label, MAX_LABEL, "%.*s[constructor]%s", interface, name, own);
    else
        snprintf(label, MAX_LABEL, "%.*s[%s]%s.%s", interface, name,
                 part == PART_LOAD ? "static" : "method", own, suffixes[part]);
    return label;
}

/* A search for a function by its name, and what takes its type. */
struct search {
    const char *label;
    bool found, taken;
    bool (*take)(struct component_parts *, enum component_part_name,
                 const wasmtime_component_functype *);
    struct component_parts *parts;
    enum component_part_name part;
};

static void visit(void *context, const wasm_bytes *interface, const wasm_bytes *name,
                  const wasmtime_component_functype *type)
{
    struct search *search = context;
    char label[MAX_LABEL];
    snprintf(label, sizeof label, "%.*s%s%.*s", (int)interface->size, interface->data,
             interface->size > 0 ? "#" : "", (int)name->size, name->data);
    if (search->found || strcmp(label, search->label) != 0)
        return;
    search->found = true;
    if (search->take)
        search->taken = search->take(search->parts, search->part, type);
}

static bool has(const wasmtime_component *component, const char *label)
{
    struct search search = { .label = label };
    component_each_export(component, engine_used(), visit, &search);
    return search.found;
}

/* Returns true if one of the functions exists that must. */
static bool has_some(const wasmtime_component *component, const char *name, bool of_resource)
{
    char label[MAX_LABEL];
    for (int part = PART_INIT; part <= PART_FINISH; part++)
        if (has(component, label_of(label, name, of_resource, (enum component_part_name)part)))
            return true;
    return false;
}

bool component_parts_are(const wasmtime_component *component, const char *name)
{
    return !has(component, name) &&
           (has_some(component, name, false) || has_some(component, name, true));
}

/* ---- Types ---- */

bool component_parts_own(const struct component_parts *parts)
{
    return parts->state.kind == COMPONENT_TYPE_OWN;
}

static bool wrong_type(const struct component_parts *parts, enum component_part_name part)
{
    static const char *const should[PART_COUNT] = {
        "take nothing and return the state of a new group",
        "take the state, then what a row has, and return the new state, or nothing if it is a "
        "resource",
        "take the state, of a resource a borrow, and return the group's value",
        "take the state, then what a row has, and return the new state, or nothing if it is a "
        "resource",
        "take the state and that of another group, and return the new state, or nothing if it is a "
        "resource",
        "take the state, of a resource a borrow, and return its bytes, list<u8>",
        "take bytes, list<u8>, and return a state",
    };
    char label[MAX_LABEL];
    return failure_set("TypeError", "%s must %s",
                       label_of(label, parts->name, parts->of_resource, part), should[part]);
}

/* Returns true if a type is that of the state, or a borrow of it. */
static bool is_state(const struct component_parts *parts, const wasmtime_component_valtype *type)
{
    if (component_parts_own(parts) &&
        (type->kind == COMPONENT_TYPE_BORROW || type->kind == COMPONENT_TYPE_OWN))
        return wasmtime.wasmtime_component_resource_type_equal(type->of.resource,
                                                               parts->state.of.resource);
    return wasmtime.wasmtime_component_valtype_equal(type, &parts->state);
}

/* Checks that the first parameters are states. */
static bool take_states(const struct component_parts *parts, struct component_part *part,
                        const wasmtime_component_functype *type, size_t count)
{
    bool right = wasmtime.wasmtime_component_func_type_param_count(type) >= count;
    for (size_t i = 0; i < count && right; i++) {
        wasmtime_component_valtype parameter;
        const char *name;
        size_t length;
        wasmtime.wasmtime_component_func_type_param_nth(type, i, &name, &length, &parameter);
        right = is_state(parts, &parameter);
        part->consumes[i] = right && parameter.kind == COMPONENT_TYPE_OWN;
        wasmtime.wasmtime_component_valtype_delete(&parameter);
    }
    return right;
}

/* Checks that the result is a state, or that there is none. */
static bool take_state(const struct component_parts *parts, struct component_part *part,
                       const wasmtime_component_functype *type)
{
    wasmtime_component_valtype result;
    if (!wasmtime.wasmtime_component_func_type_result(type, &result))
        return component_parts_own(parts) && !part->consumes[0];
    part->returns_state = is_state(parts, &result);
    part->function.has_result = part->returns_state;
    wasmtime.wasmtime_component_valtype_delete(&result);
    return part->returns_state;
}

static size_t states_of(enum component_part_name part)
{
    return part == PART_INIT || part == PART_LOAD ? 0 : part == PART_MERGE ? 2 : 1;
}

static bool is_bytes(const struct component_type *type)
{
    return type->form == FORM_BYTES && type->options == 0;
}

/* Takes the result of finish or save, which leave the state as it is. */
static bool take_value(struct component_parts *parts, enum component_part_name name,
                       const wasmtime_component_functype *type, struct signature *found)
{
    struct component_part *part = &parts->parts[name];
    if (found->count > 0 || part->consumes[0])
        return wrong_type(parts, name);
    return component_function_result(type, &part->function, found) &&
           (name == PART_FINISH || is_bytes(&part->function.result) || wrong_type(parts, name));
}

/* Takes what a part has besides states. Returns false with a failure. */
static bool take_others(struct component_parts *parts, enum component_part_name name,
                        const wasmtime_component_functype *type, struct signature *found)
{
    struct component_part *part = &parts->parts[name];
    bool right = true;
    if (!component_function_parameters(type, states_of(name), &part->function, found))
        return false;
    if (name == PART_FINISH || name == PART_SAVE)
        return take_value(parts, name, type, found);
    if (name == PART_MERGE)
        right = found->count == 0;
    else if (name == PART_LOAD)
        right = found->count == 1 && is_bytes(&part->function.parameters[0]);
    return (right && take_state(parts, part, type) && (name != PART_LOAD || part->returns_state)) ||
           wrong_type(parts, name);
}

/* Returns true if inverse takes what step takes. */
static bool is_row(const struct component_parts *parts, const struct signature *found)
{
    bool same = found->count == parts->signature.count;
    for (size_t i = 0; i < found->count && same; i++) {
        const struct slot *slot = &found->parameters[i], *of_step = &parts->signature.parameters[i];
        same = slot->storage == of_step->storage && slot->nullable == of_step->nullable &&
               (!slot->type || type_equal(slot->type, of_step->type));
    }
    return same;
}

static bool take_init(struct component_parts *parts, const wasmtime_component_functype *type)
{
    struct component_part *init = &parts->parts[PART_INIT];
    init->returns_state = init->function.has_result =
        wasmtime.wasmtime_component_func_type_param_count(type) == 0 &&
        !wasmtime.wasmtime_component_func_type_async(type) &&
        wasmtime.wasmtime_component_func_type_result(type, &parts->state);
    if (!init->returns_state)
        return wrong_type(parts, PART_INIT);
    struct component_type state;
    if (!component_type_take(&parts->state, true, &state))
        parts->number = state.value;
    component_type_clear(&state);
    return true;
}

/* Takes the type of a part. Returns false with a failure, which names the part. */
static bool take_part(struct component_parts *parts, enum component_part_name name,
                      const wasmtime_component_functype *type)
{
    char label[MAX_LABEL + 2];
    struct signature found = { .count = 0 };
    if (name == PART_INIT)
        return take_init(parts, type);
    if (!take_states(parts, &parts->parts[name], type, states_of(name)))
        return wrong_type(parts, name);
    if (!take_others(parts, name, type, &found)) {
        label_of(label, parts->name, parts->of_resource, name);
        if (strncmp(failure_message(), label, strlen(label)) != 0)
            failure_explain(strcat(label, ": "), "");
        return false;
    }
    if (name == PART_STEP)
        parts->signature = found;
    if (name == PART_FINISH)
        parts->signature.result = found.result;
    return name != PART_INVERSE || is_row(parts, &found) || wrong_type(parts, name);
}

/* ---- Finding the parts ---- */

static bool find_part(struct component_parts *parts, const wasmtime_component *component,
                      enum component_part_name name)
{
    char label[MAX_LABEL], all[3][MAX_LABEL];
    struct search search = { .label = label_of(label, parts->name, parts->of_resource, name),
                             .take = take_part,
                             .parts = parts,
                             .part = name };
    component_each_export(component, engine_used(), visit, &search);
    parts->parts[name].found = search.found;
    if (search.found)
        return search.taken;
    for (int i = PART_INIT; i <= PART_FINISH; i++)
        label_of(all[i], parts->name, parts->of_resource, (enum component_part_name)i);
    return name > PART_FINISH ||
           failure_set("AttributeError",
                       "%s is an aggregate, of the exports %s, %s and %s, and the component does "
                       "not export %s",
                       parts->name, all[0], all[1], all[2], label);
}

/* Checks that states can go from one VM to another. */
static bool check_merge(const struct component_parts *parts)
{
    const struct component_part *all = parts->parts;
    char labels[3][MAX_LABEL];
    for (int i = 0; i < 3; i++)
        label_of(labels[i], parts->name, parts->of_resource,
                 (enum component_part_name)(PART_MERGE + i));
    if (all[PART_SAVE].found != all[PART_LOAD].found)
        return failure_set(
            "AttributeError", "the component exports %s and not %s: they belong together",
            labels[all[PART_SAVE].found ? 1 : 2], labels[all[PART_SAVE].found ? 2 : 1]);
    return !all[PART_MERGE].found || all[PART_SAVE].found ||
           parts->state.kind <= COMPONENT_TYPE_CHAR ||
           failure_set("AttributeError",
                       "%s gets states of other micro-VMs: export %s, which returns the bytes of a "
                       "state, and %s, which makes a state of them; or let the state be a number",
                       labels[0], labels[1], labels[2]);
}

bool component_parts_find(struct component_parts *parts, const wasmtime_component *component,
                          const char *name)
{
    memset(parts, 0, sizeof *parts);
    parts->name = name;
    parts->of_resource = has_some(component, name, true);
    for (int part = 0; part < PART_COUNT; part++)
        if (!find_part(parts, component, (enum component_part_name)part))
            return false;
    return check_merge(parts);
}

bool component_parts_bind(struct component_parts *parts,
                          const wasmtime_component_instance *instance, wasmtime_context *context)
{
    char label[MAX_LABEL];
    for (int i = 0; i < PART_COUNT; i++) {
        struct component_part *part = &parts->parts[i];
        label_of(label, parts->name, parts->of_resource, (enum component_part_name)i);
        if (part->found &&
            !component_function_find(instance, context, label, &part->function.function))
            return failure_set("AttributeError", "the component does not export %s", label);
    }
    return true;
}

void component_parts_clear(struct component_parts *parts)
{
    if (parts->parts[PART_INIT].function.has_result)
        wasmtime.wasmtime_component_valtype_delete(&parts->state);
    for (int i = 0; i < PART_COUNT; i++)
        component_function_clear(&parts->parts[i].function);
}
