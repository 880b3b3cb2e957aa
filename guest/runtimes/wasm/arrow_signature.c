/* See arrow_signature.h. Source of the encoding and of the names of types: arrow-udf 0.6, ABI 3.0 (github.com/arrow-udf/arrow-udf,
 * arrow-udf-runtime/src/wasm). */
#include "arrow_signature.h"

#include <stdio.h>
#include <string.h>

#include "failure.h"

#define PREFIX "arrowudf_"

static const struct { const char *name; enum storage storage; bool precise; } types[] = {
    { "boolean", STORAGE_BOOL, true }, { "int8", STORAGE_INT8, true }, { "int16", STORAGE_INT16, true }, { "int32", STORAGE_INT32, true },
    { "int64", STORAGE_INT64, true }, { "uint8", STORAGE_UINT8, true }, { "uint16", STORAGE_UINT16, true },
    { "uint32", STORAGE_UINT32, true }, { "uint64", STORAGE_UINT64, true }, { "float32", STORAGE_FLOAT32, true },
    { "float64", STORAGE_FLOAT64, true }, { "string", STORAGE_TEXT32, true }, { "json", STORAGE_TEXT32, true },
    { "decimal", STORAGE_TEXT32, true }, { "binary", STORAGE_BYTES32, true }, { "date32", STORAGE_INT32, false },
    { "timestamp", STORAGE_INT64, false },
};

/* A symbol may hold no '+' and '/'. */
static int digit(char character)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$_";
    const char *at = character ? strchr(digits, character) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool decode(const char *from, size_t length, char *text, size_t size)
{
    uint32_t held = 0;
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
    if (length <= strlen(PREFIX) || memcmp(name, PREFIX, strlen(PREFIX)) != 0
        || !decode(name + strlen(PREFIX), length - strlen(PREFIX), signature->text, sizeof signature->text))
        return false;
    const char *arrow = strstr(signature->text, ")->");
    signature->name_length = strcspn(signature->text, "(");
    signature->table = arrow && arrow[3] == '>';
    return arrow && signature->text[signature->name_length] == '(';
}

static bool take_type(const char *text, size_t length, struct slot *slot, bool *precise)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == length && memcmp(types[i].name, text, length) == 0) {
            slot->storage = types[i].storage;
            slot->nullable = true;               /* what a null makes is the function's to say */
            *precise &= types[i].precise;
            return true;
        }
    failure_set("TypeError", "the function takes or returns %.*s, which no UDF can", (int)length, text);
    return false;
}

bool arrow_signature_types(const struct arrow_signature *signature, struct signature *found, bool *precise)
{
    const char *at = signature->text + signature->name_length + 1, *end = strstr(at, ")->");
    const char *result = end + (signature->table ? 4 : 3);
    *precise = true;
    found->count = 0;
    while (at < end) {
        const size_t length = strcspn(at, ",)");
        struct slot *slot = &found->parameters[found->count];
        if (found->count == PROGRAM_PARAMETERS) {
            failure_set("TypeError", "the function takes more than %d parameters", PROGRAM_PARAMETERS);
            return false;
        }
        if (!take_type(at, length, slot, precise))
            return false;
        snprintf(slot->name, sizeof slot->name, "a%zu", found->count++);
        at += length + (at[length] == ',');
    }
    snprintf(found->result.name, sizeof found->result.name, "result");
    return take_type(result, strlen(result), &found->result, precise);
}
