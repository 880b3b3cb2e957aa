/* The payload that loads a stored function in a micro-VM, by language. The host reads names and
 * types. It passes the source on unread. */
#include <string.h>

#include "sql/load.h"
#include "utf8.h"

/* ---- Python source: guest/runtimes/python/_udfvm_source.py reads this ---- */

static void append_json_text(sqlite_library *library, sqlite3_str *out, const char *text,
                             size_t length)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str_appendchar(out, 1, '"');
    size_t copied = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        sqlite3_str_append(out, text + copied, (int)(i - copied));
        sqlite3_str_appendf(out, "\\u%04x", c);
        copied = i + 1;
    }
    sqlite3_str_append(out, text + copied, (int)(length - copied));
    sqlite3_str_appendchar(out, 1, '"');
}

static const char *python_type(uint32_t type, bool json)
{
    static const char *const names[] = {
        [TYPE_ANY] = "any",           [UDFVM_TYPE_INT64] = "int64", [UDFVM_TYPE_FLOAT64] = "double",
        [UDFVM_TYPE_TEXT] = "string", [UDFVM_TYPE_BLOB] = "binary", [UDFVM_TYPE_BOOL] = "bool"
    };
    return json ? "json" : names[type];
}

uint8_t *python_request(sqlite_library *library, const struct stored_definition *definition,
                        const struct sql_signature *signature, const struct stored_options *options,
                        size_t *length, char **message)
{
    sqlite_library *sqlite3_api = library;
    const char *source = definition->source;
    if (!utf8_is_valid(definition->source, definition->source_length) ||
        memchr(source, 0, definition->source_length)) {
        *message = sqlite3_mprintf("its source is not valid UTF-8 text");
        return NULL;
    }
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_str_append(out, "12345678", 8); /* a placeholder for the length, set below */
    sqlite3_str_appendf(out, "{\"lengths\": [], \"expression\": %s, \"entry\": \"%s\", \"name\": ",
                        definition->expression ? "true" : "false", options->entry);
    append_json_text(library, out, definition->name, definition->name_length);
    sqlite3_str_appendall(out, ", \"parameters\": [");
    for (uint32_t i = 0; i < signature->count; i++) {
        const struct udfvm_sqlite_parameter *parameter = &signature->parameters[i];
        sqlite3_str_appendf(out, "%s{\"type\": \"%s\", \"nullable\": %s, \"name\": ", i ? ", " : "",
                            python_type(parameter->type, signature->json[i]),
                            parameter->nullable ? "true" : "false");
        append_json_text(library, out, parameter->name, strlen(parameter->name));
        sqlite3_str_appendchar(out, 1, '}');
    }
    sqlite3_str_appendf(out, "], \"result\": \"%s\", \"source\": ",
                        python_type(signature->result_type, signature->result_json));
    append_json_text(library, out, source, definition->source_length);
    sqlite3_str_appendall(out, "}");
    *length = (size_t)sqlite3_str_length(out);
    uint8_t *payload = (uint8_t *)sqlite3_str_finish(out);
    if (payload) {
        const uint64_t json = *length - 8;
        memcpy(payload, &json, sizeof json);
    }
    return payload;
}

/* ---- Compiled code: guest/runtimes/shared/compiled/load.c reads this ---- */

/* Returns how runtimes store a type of rows. */
static uint32_t storage_of(uint32_t type)
{
    static const uint32_t storages[] = { [UDFVM_TYPE_BOOL] = UDFVM_STORAGE_BOOL,
                                         [UDFVM_TYPE_INT64] = UDFVM_STORAGE_INT64,
                                         [UDFVM_TYPE_FLOAT64] = UDFVM_STORAGE_FLOAT64,
                                         [UDFVM_TYPE_TEXT] = UDFVM_STORAGE_TEXT32,
                                         [UDFVM_TYPE_BLOB] = UDFVM_STORAGE_BYTES32 };
    return storages[type];
}

static struct udfvm_slot slot(const char *name, uint32_t type, bool nullable)
{
    struct udfvm_slot made = { .storage = storage_of(type), .nullable = nullable };
    const size_t length = strlen(name);
    memcpy(made.name, name, length < sizeof made.name ? length : sizeof made.name - 1);
    return made;
}

uint8_t *compiled_request(sqlite_library *library, const struct stored_definition *definition,
                          const struct sql_signature *signature,
                          const struct stored_options *options, size_t *length, char **message)
{
    sqlite_library *sqlite3_api = library;
    if (signature->count > MAX_COMPILED_PARAMETERS) {
        *message = sqlite3_mprintf("its signature has %u parameters; compiled code has at most %d: "
                                   "pass some of them as one struct",
                                   signature->count, MAX_COMPILED_PARAMETERS);
        return NULL;
    }
    const char *entry = *options->entry ? options->entry : definition->name;
    const size_t name_length = *options->entry ? strlen(options->entry) : definition->name_length;
    const struct udfvm_load head = { .code_length = definition->source_length,
                                     .slots = signature->count + 1,
                                     .name_length = (uint32_t)name_length };
    const size_t slots = head.slots * sizeof(struct udfvm_slot);
    *length = sizeof head + slots + name_length + definition->source_length;
    uint8_t *payload = sqlite3_malloc64(*length), *at = payload;
    if (!payload)
        return NULL;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    for (uint32_t i = 0; i < head.slots; i++, at += sizeof(struct udfvm_slot)) {
        const struct udfvm_sqlite_parameter *parameter = i ? &signature->parameters[i - 1] : NULL;
        const struct udfvm_slot written = parameter ? slot(parameter->name, parameter->type,
                                                           parameter->nullable)
                                                    : slot("result", signature->result_type, false);
        memcpy(at, &written, sizeof written);
    }
    memcpy(at, entry, name_length);
    memcpy(at + name_length, definition->source, definition->source_length);
    return payload;
}
