/* See arrow_signature.h. Source of the encoding and of the names of types: arrow-udf 0.9, ABI 3.0
 * (github.com/arrow-udf/arrow-udf, arrow-udf-runtime/src/wasm,
 * arrow-udf/arrow-udf-macros/src/types.rs); of the old names: arrow-udf 0.2, ABI 2.0. A type is the
 * name of a simple one, "T[]", or "struct Name", which the export of a description tells:
 * "Name=field:type,field:type". */
#include "wasm/arrow_signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"

#define PREFIX        "arrowudf_"
#define STRUCT_PREFIX "arrowudt_"
#define STRUCT        "struct "
#define LIST          "[]"
#define NOT_IN_NAMES  "<>[]:," /* of fields: the names of types have other uses for them */
#define MAX_TYPES                                                                                \
    2000 /* in a type: without a limit, structs that contain each other twice grow exponentially \
          */

#define RENAMED 3 /* version of the ABI since which types have the names of today */

struct leaf {
    const char *name, *arrow; /* arrow-udf's, and type.h's */
};

static const struct leaf leaves[] = {
    { "boolean", "bool" },
    { "int8", "int8" },
    { "int16", "int16" },
    { "int32", "int32" },
    { "int64", "int64" },
    { "uint8", "uint8" },
    { "uint16", "uint16" },
    { "uint32", "uint32" },
    { "uint64", "uint64" },
    { "float32", "float" },
    { "float64", "double" },
    { "string", "string" },
    { "largestring", "large_string" },
    { "largebinary", "large_binary" },
    { "json", "string" },
    { "decimal", "string" },
    { "binary", "binary" },
    { "date32", "date32[day]" },
    { "timestamp", "timestamp[us]" },
    { NULL, NULL },
};

static const struct leaf old_leaves[] = {
    /* int8 has 8 bytes; json and decimal are other types, too */
    { "boolean", "bool" },
    { "int2", "int16" },
    { "int4", "int32" },
    { "int8", "int64" },
    { "float4", "float" },
    { "float8", "double" },
    { "varchar", "string" },
    { "bytea", "binary" },
    { "json", "large_string" },
    { "decimal", "large_binary" },
    { "date", "date32[day]" },
    { "timestamp", "timestamp[us]" },
    { NULL, NULL },
};

/* A variant of base 64: symbols cannot have '+' and '/'. */
static int digit(char character)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$_";
    const char *at = character ? strchr(digits, character) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool decode(const char *prefix, const char *from, size_t length, char *text, size_t size)
{
    uint32_t held = 0;
    const size_t skipped = strlen(prefix);
    if (length <= skipped || memcmp(from, prefix, skipped) != 0)
        return false;
    from += skipped;
    length -= skipped;
    unsigned count = 0;
    size_t made = 0;
    for (size_t i = 0; i < length; i++) {
        const int value = digit(from[i]);
        if (value < 0 || made + 1 >= size)
            return false;
        held = held << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[made++] = (char)(held >> count);
        }
    }
    text[made] = 0;
    return strlen(text) == made;
}

bool arrow_signature_take(struct arrow_signature *signature, const char *name, size_t length)
{
    if (!decode(PREFIX, name, length, signature->text, sizeof signature->text))
        return false;
    const char *arrow = strstr(signature->text, ")->");
    signature->name_length = strcspn(signature->text, "(");
    signature->table = arrow && arrow[3] == '>';
    return arrow && signature->text[signature->name_length] == '(';
}

/* ---- Types ---- */

struct signature_types { /* of one signature */
    const wasm_exporttypes *exports;
    const struct leaf *leaves;
    size_t left; /* how many more there may be */
};

static bool take_type(struct signature_types *types, const char *text, size_t length,
                      unsigned depth, struct type *type);

static bool refuse(const char *text, size_t length, const char *why)
{
    return failure_set("TypeError", "the function takes or returns %.*s, %s",
                       length > 256 ? 256 : (int)length, text, why);
}

/* The fields in the description of a struct; NULL: no export describes it. */
static const char *find_struct(const wasm_exporttypes *exports, const char *name, size_t length,
                               char *text, size_t size)
{
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_bytes *label = wasmtime.wasm_exporttype_name(exports->data[i]);
        if (decode(STRUCT_PREFIX, label->data, label->size, text, size) &&
            strncmp(text, name, length) == 0 && text[length] == '=')
            return text + length + 1;
    }
    return NULL;
}

static size_t count_fields(const char *fields)
{
    size_t count = 1;
    for (const char *at = fields; *at; at++)
        count += *at == ',';
    return count;
}

static bool take_fields(struct signature_types *types, const char *fields, unsigned depth,
                        struct type *type)
{
    type_give_children(type, STORAGE_STRUCT, count_fields(fields));
    for (size_t i = 0; i < type->count; i++) {
        const size_t name = strcspn(fields, NOT_IN_NAMES), length = strcspn(fields, ",");
        if (name == 0 || fields[name] != ':' || fields[0] == ' ' || fields[name - 1] == ' ')
            return refuse(fields, length, "which is not a field of a struct");
        type_give_name(&type->children[i], fields, name);
        if (!take_type(types, fields + name + 1, length - name - 1, depth, &type->children[i]))
            return false;
        fields += length + 1;
    }
    return true;
}

static bool take_struct(struct signature_types *types, const char *text, size_t length,
                        unsigned depth, struct type *type)
{
    const size_t skipped = strlen(STRUCT);
    char *description = malloc(MAX_ARROW_TEXT);
    if (!description)
        abort();
    const char *fields = find_struct(types->exports, text + skipped, length - skipped, description,
                                     MAX_ARROW_TEXT);
    const bool taken = fields ? take_fields(types, fields, depth, type)
                              : refuse(text, length, "which the module does not describe");
    free(description);
    return taken;
}

static bool is_named(const char *name, const char *text, size_t length)
{
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

static bool take_leaf(const struct leaf *leaf, const char *text, size_t length, struct type *type)
{
    for (; leaf->name; leaf++)
        if (is_named(leaf->name, text, length))
            return type_set_leaf(type, leaf->arrow, strlen(leaf->arrow));
    if (is_named("null", text, length) ||
        is_named("void", text, length)) /* also of a function that is declared without a result */
        return refuse(text, length, "which has no values: a UDF must return a value");
    return refuse(text, length, "which UDFs do not support");
}

static bool take_type(struct signature_types *types, const char *text, size_t length,
                      unsigned depth, struct type *type)
{
    if (depth >= MAX_TYPE_DEPTH || types->left == 0)
        return refuse(text, length, "in a type that is nested too deep or too large");
    types->left--;
    if (length > strlen(LIST) && memcmp(text + length - strlen(LIST), LIST, strlen(LIST)) == 0) {
        type_give_children(type, STORAGE_LIST, 1);
        return take_type(types, text, length - strlen(LIST), depth + 1, type->children);
    }
    if (length > strlen(STRUCT) && memcmp(text, STRUCT, strlen(STRUCT)) == 0)
        return take_struct(types, text, length, depth + 1, type);
    return take_leaf(types->leaves, text, length, type);
}

static bool take_slot(const wasm_exporttypes *exports, unsigned version, const char *text,
                      size_t length, struct slot *slot)
{
    struct signature_types types = { exports, version < RENAMED ? old_leaves : leaves, MAX_TYPES };
    struct type *type = calloc(1, sizeof *type);
    if (!type)
        abort();
    const bool taken = take_type(&types, text, length, 0, type);
    slot->storage = type->storage;
    slot->nullable = true; /* the function decides what a null gives */
    slot->type = taken && (storage_is_nested(type->storage) || type->time != TIME_NONE) ? type
                                                                                        : NULL;
    if (!slot->type)
        type_delete(type);
    return taken;
}

bool arrow_signature_types(const struct arrow_signature *signature, const wasm_exporttypes *exports,
                           unsigned version, struct signature *found)
{
    const char *at = signature->text + signature->name_length + 1, *end = strstr(at, ")->");
    const char *result = end + (signature->table ? 4 : 3);
    found->count = 0;
    while (at < end) {
        const size_t length = strcspn(at, ",)");
        struct slot *slot = &found->parameters[found->count];
        if (found->count == MAX_PARAMETERS)
            return failure_set("TypeError", "the function takes more than %d parameters",
                               MAX_PARAMETERS);
        if (!take_slot(exports, version, at, length, slot))
            return false;
        snprintf(slot->name, sizeof slot->name, "a%zu", found->count++);
        at += length + (at[length] == ',');
    }
    snprintf(found->result.name, sizeof found->result.name, "result");
    return take_slot(exports, version, result, strlen(result), &found->result);
}
