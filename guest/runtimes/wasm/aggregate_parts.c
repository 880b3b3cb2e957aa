/* See aggregate_parts.h. */
#include "wasm/aggregate_parts.h"

#include <stdio.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "wasm/interface.h"
#include "wasm/value_type.h"

#define MAX_PART 320 /* bytes of the name of a part */

/* ---- Finding the parts ---- */

static const char *part_name(char name[MAX_PART], const char *aggregate, const char *suffix)
{
    snprintf(name, MAX_PART, "%s_%s", aggregate, suffix);
    return name;
}

/* Returns true if the module exports a function of such a name. */
static bool has(const wasmtime_module *module, const char *name)
{
    return module_function(module, name, NULL, NULL);
}

bool aggregate_parts_are(const wasmtime_module *module, const char *name)
{
    char part[MAX_PART];
    return !has(module, name) && (has(module, part_name(part, name, "init")) ||
                                  has(module, part_name(part, name, "step")) ||
                                  has(module, part_name(part, name, "finish")));
}

/* Sets the failure that a part is of another type than it should be. */
static bool wrong_type(const char *part, const struct export_type *type, const char *should)
{
    struct bytes is = { 0 };
    export_type_write(type, &is);
    failure_set("TypeError", "%s must %s: it is %s in the module", part, should,
                (const char *)is.at);
    bytes_free(&is);
    return false;
}

/* Finds a part, with its type as it is in the module. Returns false with a failure if a part that
 * must exist does not, or has a type that no export has. */
static bool find_part(const wasmtime_module *module, const char *name, const char *suffix,
                      bool must_exist, struct part *part)
{
    char label[MAX_PART];
    struct exported *exported = &part->exported;
    part->found = has(module, part_name(label, name, suffix));
    if (!part->found)
        return !must_exist ||
               failure_set("AttributeError",
                           "%s is an aggregate, of the exports %s_init, %s_step and %s_finish, and "
                           "the module does not export %s",
                           name, name, name, name, label);
    if (!module_function(module, label, export_type_take, &exported->type))
        return false;
    exported->result_count = exported->type.result_count;
    memcpy(exported->result_kinds, exported->type.results, sizeof exported->result_kinds);
    return true;
}

/* Finds the function of a part in the instance. */
static bool bind_part(const struct wasm_module *module, const char *name, const char *suffix,
                      struct part *part)
{
    char label[MAX_PART];
    wasmtime_extern export;
    if (!part->found)
        return true;
    module_memory_find(&part->exported.memory, module);
    if (!module_export(module, part_name(label, name, suffix), WASMTIME_FUNC, &export))
        return failure_set("AttributeError", "the module does not export %s", label);
    part->exported.function = export.of.func;
    return true;
}

/* ---- Types ---- */

/* Takes the state from the parameters of a type. Returns false if it is not there. */
static bool strip_parameter(struct export_type *type, size_t at, enum wasm_kind state)
{
    if (at >= type->parameter_count || type->parameters[at] != state)
        return false;
    type->parameter_count--;
    memmove(&type->parameters[at], &type->parameters[at + 1],
            (type->parameter_count - at) * sizeof *type->parameters);
    return true;
}

/* Takes the state from the results of a type. Returns false if there are other results. */
static bool strip_result(struct part *part, enum wasm_kind state)
{
    struct export_type *type = &part->exported.type;
    part->returns_state = type->result_count == 1 && type->results[0] == state;
    if (part->returns_state)
        type->result_count = 0;
    return type->result_count == 0;
}

/* What a part takes besides the state that it changes. */
enum others { A_ROW, ANOTHER_STATE };

/* Takes the states from the type of a part that changes a state: from its parameters, and from its
 * result, which may only be missing where a state is an address. */
static bool strip_states(enum wasm_kind state, struct part *part, enum others others)
{
    struct export_type *type = &part->exported.type;
    if (!strip_parameter(type, 0, state) ||
        (others == ANOTHER_STATE &&
         (!strip_parameter(type, 0, state) || type->parameter_count > 0)) ||
        !strip_result(part, state))
        return false;
    return part->returns_state || state == WASM_I32 || state == WASM_I64;
}

/* Checks a part that changes a state. Returns false with a failure. */
static bool strip_update(const struct aggregate_parts *parts, const char *name, const char *suffix,
                         struct part *part, enum others others)
{
    char label[MAX_PART], should[200];
    const struct export_type whole = part->exported.type;
    if (!part->found || strip_states(parts->state, part, others))
        return true;
    snprintf(should, sizeof should, "take the state (%s)%s and return %s",
             value_kind_name(parts->state),
             others == A_ROW ? ", then what a row has," : " and that of another group",
             parts->state == WASM_I32 || parts->state == WASM_I64 ? "nothing or the new state"
                                                                  : "the new state");
    return wrong_type(part_name(label, name, suffix), &whole, should);
}

/* Checks init, and learns the kind of states. */
static bool take_init(struct aggregate_parts *parts, const char *name)
{
    char label[MAX_PART];
    const struct export_type *type = &parts->init.exported.type;
    if (type->parameter_count > 0 || type->result_count != 1)
        return wrong_type(part_name(label, name, "init"), type,
                          "take nothing and return the state of a new group, which is one number");
    parts->state = type->results[0];
    return true;
}

/* Checks finish or save: the state is the last parameter, because a place for the result may come
 * before it. */
static bool strip_reader(const struct aggregate_parts *parts, const char *name, const char *suffix,
                         struct part *part)
{
    char label[MAX_PART], should[100];
    const struct export_type whole = part->exported.type;
    const size_t places = whole.result_count == 0; /* for a result that is stored */
    if (!part->found || (whole.parameter_count == places + 1 &&
                         strip_parameter(&part->exported.type, places, parts->state)))
        return true;
    snprintf(should, sizeof should, "take the state (%s) and return %s",
             value_kind_name(parts->state),
             part == &parts->finish ? "the group's value" : "its bytes");
    return wrong_type(part_name(label, name, suffix), &whole, should);
}

static bool take_free(const struct aggregate_parts *parts, const char *name)
{
    char label[MAX_PART];
    const struct export_type *type = &parts->free.exported.type;
    if (!parts->free.found || (type->parameter_count == 1 && type->result_count == 0 &&
                               type->parameters[0] == parts->state))
        return true;
    return wrong_type(part_name(label, name, "free"), type, "take the state and return nothing");
}

/* Checks that states can go from one VM to another. */
static bool check_merge(const struct aggregate_parts *parts, const char *name)
{
    if (parts->save.found != parts->load.found)
        return failure_set(
            "AttributeError", "the module exports %s_%s and not %s_%s: they belong together", name,
            parts->save.found ? "save" : "load", name, parts->save.found ? "load" : "save");
    if (!parts->merge.found || parts->save.found ||
        (parts->step.returns_state && parts->state != WASM_I32))
        return true;
    return failure_set("AttributeError",
                       "%s_merge gets states of other micro-VMs, where addresses mean something "
                       "else: export %s_save(state), which returns the bytes of a state, and "
                       "%s_load, which makes a state of them; or let %s_step return the state as "
                       "i64, f32, f64 or v128, if it is a value",
                       name, name, name, name);
}

#define PARTS 8
struct named_part {
    const char *suffix;
    bool must_exist;
    struct part *part;
};

static void list_parts(struct aggregate_parts *parts, struct named_part list[PARTS])
{
    const struct named_part all[PARTS] = {
        { "init", true, &parts->init },     { "step", true, &parts->step },
        { "finish", true, &parts->finish }, { "inverse", false, &parts->inverse },
        { "merge", false, &parts->merge },  { "save", false, &parts->save },
        { "load", false, &parts->load },    { "free", false, &parts->free },
    };
    memcpy(list, all, sizeof all);
}

bool aggregate_parts_find(struct aggregate_parts *parts, const wasmtime_module *module,
                          const char *name)
{
    struct named_part list[PARTS];
    list_parts(parts, list);
    for (size_t i = 0; i < PARTS; i++)
        if (!find_part(module, name, list[i].suffix, list[i].must_exist, list[i].part))
            return false;
    return take_init(parts, name) && strip_update(parts, name, "step", &parts->step, A_ROW) &&
           strip_reader(parts, name, "finish", &parts->finish) &&
           strip_update(parts, name, "inverse", &parts->inverse, A_ROW) &&
           strip_update(parts, name, "merge", &parts->merge, ANOTHER_STATE) &&
           strip_reader(parts, name, "save", &parts->save) && take_free(parts, name) &&
           check_merge(parts, name);
}

bool aggregate_parts_bind(struct aggregate_parts *parts, const struct wasm_module *module,
                          const char *name)
{
    struct named_part list[PARTS];
    list_parts(parts, list);
    for (size_t i = 0; i < PARTS; i++)
        if (!bind_part(module, name, list[i].suffix, list[i].part))
            return false;
    return true;
}

/* ---- Signatures and plans ---- */

/* Makes the plan of a part. Returns false with a failure, which names the part. */
static bool plan(struct part *part, const char *name, const char *suffix,
                 const struct signature *signature)
{
    char label[MAX_PART + 32];
    struct exported *exported = &part->exported;
    exported->signature = *signature;
    if (export_plan_make(&exported->plan, &exported->type, signature, &exported->memory))
        return true;
    snprintf(label, sizeof label, "%s_%s, without its state: ", name, suffix);
    return failure_explain(label, "");
}

void aggregate_parts_describe(const struct aggregate_parts *parts, struct signature *signature)
{
    struct export_type type = parts->step.exported.type;
    const struct export_type *finish = &parts->finish.exported.type;
    type.result_count = finish->result_count;
    memcpy(type.results, finish->results, sizeof type.results);
    export_type_describe(&type, signature);
}

static bool plan_bytes(struct aggregate_parts *parts, const char *name)
{
    struct signature save = { .result = { .storage = STORAGE_BYTES32, .name = "result" } };
    struct signature load = { .count = 1,
                              .parameters = { { .storage = STORAGE_BYTES32, .name = "bytes" } } };
    char label[MAX_PART];
    struct part *part = &parts->load;
    const struct export_type whole = part->exported.type;
    if (!part->found)
        return true;
    if (!strip_result(part, parts->state) || !part->returns_state)
        return wrong_type(part_name(label, name, "load"), &whole,
                          "take bytes, which are address and length, and return a state");
    load = export_type_of_nothing(&load);
    return plan(&parts->save, name, "save", &save) && plan(part, name, "load", &load);
}

bool aggregate_parts_plan(struct aggregate_parts *parts, const char *name,
                          const struct signature *signature)
{
    const struct signature row = export_type_of_nothing(signature);
    const struct signature value = { .result = signature->result };
    return plan(&parts->step, name, "step", &row) && plan(&parts->finish, name, "finish", &value) &&
           (!parts->inverse.found || plan(&parts->inverse, name, "inverse", &row)) &&
           plan_bytes(parts, name);
}
