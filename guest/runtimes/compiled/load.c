/* LOAD and DESCRIBE of compiled code: see program.h. */
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "program.h"

static bool take_slot(struct slot *slot, const struct udfvm_slot *from)
{
    slot->storage = (enum storage)from->storage;
    slot->nullable = from->nullable != 0;
    memcpy(slot->name, from->name, sizeof slot->name);
    slot->name[sizeof slot->name - 1] = 0;
    return from->storage < STORAGE_COUNT;
}

static bool take_signature(struct signature *signature, const struct udfvm_slot *slots, uint32_t count)
{
    if (count == 0)
        return true;
    if (count - 1 > PROGRAM_PARAMETERS || !take_slot(&signature->result, slots))
        return false;
    signature->count = count - 1;
    for (size_t i = 0; i < signature->count; i++)
        if (!take_slot(&signature->parameters[i], slots + 1 + i))
            return false;
    return true;
}

bool program_load(struct load *load)
{
    const uint64_t length = program_call()->length;
    const uint8_t *at = (const uint8_t *)UDFVM_INPUT_PAYLOAD;
    struct udfvm_load header = { 0 };
    memset(load, 0, sizeof *load);
    if (length >= sizeof header)
        memcpy(&header, at, sizeof header);
    const uint64_t needed = sizeof header + (uint64_t)header.slots * sizeof(struct udfvm_slot) + header.name_length
                            + header.request_schema_length + header.result_schema_length + header.template_length
                            + header.settings_length;
    if (length < sizeof header || needed > length || header.code_length != length - needed || header.name_length >= sizeof load->name
        || !take_signature(&load->signature, (const struct udfvm_slot *)(at + sizeof header), header.slots)) {
        failure_set("ValueError", "the request to load a function is malformed, or has more than %d parameters", PROGRAM_PARAMETERS);
        return false;
    }
    load->declared = header.slots > 0;
    at += sizeof header + header.slots * sizeof(struct udfvm_slot);
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
    return load->request_schema_length == 0 && load->result_schema_length == 0 && load->template_length == 0;
}

bool program_set_format(struct program *program, const struct load *load)
{
    struct stream_format *format = &program->format;
    if (load_is_for_rows(load))
        return true;
    const size_t head = stream_reply_head(format, load->result_schema_length, load->template, load->template_length);
    uint8_t *schema = malloc(load->request_schema_length + 1);
    uint8_t *reply = malloc(load->result_schema_length + head + 1);
    if (!schema || !reply || head == 0) {
        free(schema);
        free(reply);
        failure_set("ValueError", "the template of a reply is no record batch message of one column");
        return false;
    }
    memcpy(schema, load->request_schema, load->request_schema_length);
    memcpy(reply, load->result_schema, load->result_schema_length);
    memcpy(reply + load->result_schema_length, load->template, head);
    format->request_schema = schema;
    format->request_schema_length = load->request_schema_length;
    format->reply_head = reply;
    return true;
}

static bool slot_agrees(const char *what, const struct slot *declared, const struct slot *found, bool by_row_type)
{
    if (by_row_type ? storage_row_type(declared->storage) == storage_row_type(found->storage)
                    : declared->storage == found->storage && declared->nullable == found->nullable)
        return true;
    failure_set("TypeError", "%s is declared as %s%s, and compiled as %s%s", what, storage_name(declared->storage),
                declared->nullable && !by_row_type ? " or null" : "", storage_name(found->storage),
                found->nullable && !by_row_type ? " or null" : "");
    return false;
}

bool program_agrees(const struct signature *declared, const struct signature *found, bool by_row_types)
{
    if (declared->count != found->count) {
        failure_set("TypeError", "%zu parameters are declared, and the function has %zu", declared->count, found->count);
        return false;
    }
    for (size_t i = 0; i < found->count; i++)
        if (!slot_agrees(declared->parameters[i].name, &declared->parameters[i], &found->parameters[i], by_row_types))
            return false;
    return slot_agrees("the result", &declared->result, &found->result, by_row_types);
}

static void put_slot(struct udfvm_slot *to, const struct slot *slot)
{
    to->storage = slot->storage;
    to->nullable = slot->nullable;
    memcpy(to->name, slot->name, sizeof to->name);
}

uint64_t program_describe(const struct program *program, const struct signature *signature)
{
    struct udfvm_description *description = (struct udfvm_description *)UDFVM_OUTPUT_BASE;
    struct udfvm_slot *slots = (struct udfvm_slot *)(description + 1);
    *description = (struct udfvm_description){ .count = (uint32_t)signature->count, .flags = program->table ? UDFVM_DESCRIPTION_TABLE : 0 };
    put_slot(&slots[0], &signature->result);
    for (size_t i = 0; i < signature->count; i++)
        put_slot(&slots[1 + i], &signature->parameters[i]);
    return sizeof *description + (1 + signature->count) * sizeof *slots;
}
