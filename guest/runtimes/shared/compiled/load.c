/* LOAD and DESCRIBE of compiled code: see program.h. */
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/failure.h"
#include "shared/compiled/nested_result.h"
#include "shared/compiled/program.h"

/* Reads a slot. *names points to its type's name, if it has one, and then moves past it. */
static bool take_slot(struct slot *slot, const struct udfvm_slot *from, const char **names)
{
    slot->storage = (enum storage)from->storage;
    slot->nullable = from->nullable != 0;
    memcpy(slot->name, from->name, sizeof slot->name);
    slot->name[sizeof slot->name - 1] = 0;
    slot->type = storage_is_nested(slot->storage) ? type_parse(*names, from->type_length) : NULL;
    *names += from->type_length;
    return slot->type ? slot->type->storage == slot->storage : from->storage < STORAGE_STRUCT;
}

static bool take_signature(struct signature *signature, const struct udfvm_slot *slots,
                           uint32_t count)
{
    const char *names = (const char *)(slots + count);
    if (count == 0)
        return true;
    if (count - 1 > MAX_PARAMETERS || !take_slot(&signature->result, slots, &names))
        return false;
    signature->count = count - 1;
    for (size_t i = 0; i < signature->count; i++)
        if (!take_slot(&signature->parameters[i], slots + 1 + i, &names))
            return false;
    return true;
}

/* Returns the number of bytes of slots and of the names of their types. If the request is cut
 * short, the number is larger than the request. */
static uint64_t slots_length(const struct udfvm_slot *slots, uint64_t count, uint64_t capacity)
{
    uint64_t length = count * sizeof *slots;
    for (uint64_t i = 0; i < count && count * sizeof *slots <= capacity; i++)
        length += slots[i].type_length;
    return length;
}

bool program_load(struct load *load)
{
    const uint64_t length = exchange_call()->length;
    const uint8_t *at = exchange_payload();
    struct udfvm_load header = { 0 };
    memset(load, 0, sizeof *load);
    if (length >= sizeof header)
        memcpy(&header, at, sizeof header);
    const struct udfvm_slot *slots = (const struct udfvm_slot *)(at + sizeof header);
    const uint64_t slots_bytes = length < sizeof header
                                     ? 0
                                     : slots_length(slots, header.slots, length - sizeof header);
    const uint64_t needed = sizeof header + slots_bytes + header.name_length +
                            header.request_schema_length + header.result_schema_length +
                            header.template_length + header.settings_length;
    if (length < sizeof header || needed > length || header.code_length != length - needed ||
        header.name_length >= sizeof load->name ||
        !take_signature(&load->signature, slots, header.slots))
        return failure_set(
            "ValueError",
            "the request to load a function is malformed, or has more than %d parameters",
            MAX_PARAMETERS);
    load->serves = exchange_call()->request == UDFVM_REQUEST_LOAD;
    load->declared = header.slots > 0;
    at += sizeof header + slots_bytes;
    memcpy(load->name, at, header.name_length);
    load->request_schema = at + header.name_length;
    load->request_schema_length = header.request_schema_length;
    load->result_schema = load->request_schema + load->request_schema_length;
    load->result_schema_length = header.result_schema_length;
    load->template = load->result_schema + load->result_schema_length;
    load->template_length = header.template_length;
    load->settings = load->template + load->template_length;
    load->settings_length = header.settings_length;
    load->code = load->settings + load->settings_length;
    load->code_length = header.code_length;
    return true;
}

bool load_is_for_rows(const struct load *load)
{
    return load->request_schema_length == 0;
}

bool program_set_format(struct program *program, const struct load *load)
{
    struct stream_format *format = &program->format;
    if (load_is_for_rows(load))
        return true;
    const struct type *type = load->signature.result.type;
    size_t head = (type ? stream_nested_head : stream_reply_head)(
        format, load->result_schema_length, load->template, load->template_length);
    if (type && !nested_result_fits(format, type))
        head = 0;
    uint8_t *schema = malloc(load->request_schema_length + 1);
    uint8_t *reply = malloc(load->result_schema_length + head + 1);
    if (!schema || !reply || head == 0) {
        free(schema);
        free(reply);
        return failure_set("ValueError",
                           "the template of a reply is not a record batch message of one column");
    }
    memcpy(schema, load->request_schema, load->request_schema_length);
    memcpy(reply, load->result_schema, load->result_schema_length);
    memcpy(reply + load->result_schema_length, load->template, head);
    format->request_schema = schema;
    format->request_schema_length = load->request_schema_length;
    format->reply_head = reply;
    return true;
}

/* Writes the type's name with a NUL. */
static void describe(const struct slot *slot, struct bytes *to)
{
    if (slot->type)
        type_write(slot->type, to);
    else
        bytes_text(to, storage_name(slot->storage));
    bytes_put(to, "", 1);
}

static bool slot_agrees(const char *what, const struct slot *declared, const struct slot *found,
                        bool by_row_type)
{
    by_row_type = by_row_type && !declared->type;
    struct bytes types[2] = { 0 };
    const bool same = declared->storage == found->storage &&
                      (!declared->type || type_equal(declared->type, found->type));
    if (by_row_type ? storage_row_type(declared->storage) == storage_row_type(found->storage)
                    : same && declared->nullable == found->nullable)
        return true;
    describe(declared, &types[0]);
    describe(found, &types[1]);
    failure_set("TypeError", "%s is declared as %s%s, and compiled as %s%s", what,
                (const char *)types[0].at, declared->nullable && !by_row_type ? " or null" : "",
                (const char *)types[1].at, found->nullable && !by_row_type ? " or null" : "");
    bytes_free(&types[0]);
    bytes_free(&types[1]);
    return false;
}

bool program_agrees(const struct signature *declared, const struct signature *found,
                    bool by_row_types)
{
    if (declared->count != found->count)
        return failure_set("TypeError",
                           "the function has %zu parameters where the signature declares %zu",
                           found->count, declared->count);
    for (size_t i = 0; i < found->count; i++)
        if (!slot_agrees(declared->parameters[i].name, &declared->parameters[i],
                         &found->parameters[i], by_row_types))
            return false;
    return slot_agrees("the result", &declared->result, &found->result, by_row_types);
}

/* Writes a slot, and appends its type's name to `names`. Returns false with a failure. */
static bool put_slot(struct udfvm_slot *to, const struct slot *slot, struct bytes *names)
{
    const size_t before = names->length;
    if (slot->type)
        type_write(slot->type, names);
    if (names->length - before > MAX_TYPE_NAME)
        return failure_set("TypeError", "%s has a type whose name is longer than %u bytes",
                           slot->name, MAX_TYPE_NAME);
    to->storage = slot->storage;
    to->nullable = slot->nullable;
    to->type_length = (uint32_t)(names->length - before);
    memcpy(to->name, slot->name, sizeof to->name);
    return true;
}

bool program_describe(const struct program *program, const struct signature *signature,
                      uint64_t *length)
{
    struct udfvm_description *description = (struct udfvm_description *)UDFVM_OUTPUT_BASE;
    struct udfvm_slot *slots = (struct udfvm_slot *)(description + 1);
    const uint32_t flags = (program->table ? UDFVM_DESCRIPTION_TABLE : 0) |
                           (program->whole ? UDFVM_DESCRIPTION_WHOLE : 0) |
                           (program->aggregate ? UDFVM_DESCRIPTION_AGGREGATE : 0) |
                           (program->has_inverse ? UDFVM_DESCRIPTION_INVERSE : 0) |
                           (program->has_merge ? UDFVM_DESCRIPTION_MERGE : 0);
    *description = (struct udfvm_description){ .count = (uint32_t)signature->count,
                                               .flags = flags };
    struct bytes names = { 0 };
    bool done = put_slot(&slots[0], &signature->result, &names);
    for (size_t i = 0; done && i < signature->count; i++)
        done = put_slot(&slots[1 + i], &signature->parameters[i], &names);
    if (done && names.length > 0)
        memcpy(&slots[1 + signature->count], names.at, names.length);
    *length = sizeof *description + (1 + signature->count) * sizeof *slots + names.length;
    bytes_free(&names);
    return done;
}
