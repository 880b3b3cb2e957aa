/* See listing.h. */
#include "shared/compiled/listing.h"

#include <string.h>

#include "shared/compiled/failure.h"
#include "udfvm_abi.h"

static void append(struct bytes *list, uint32_t kind, const struct bytes *name,
                   const struct bytes *type, const char *note)
{
    const struct udfvm_listed head = { .kind = kind,
                                       .name_length = (uint32_t)name->length,
                                       .type_length = (uint32_t)type->length,
                                       .note_length = (uint32_t)strlen(note) };
    bytes_put(list, &head, sizeof head);
    bytes_put(list, name->at, name->length);
    bytes_put(list, type->at, type->length);
    bytes_put(list, note, head.note_length);
}

static void write_slot(const struct slot *slot, struct bytes *to)
{
    if (slot->type)
        type_write(slot->type, to);
    else
        bytes_text(to, storage_name(slot->storage));
    if (slot->nullable)
        bytes_text(to, "?");
}

static void write_signature(const struct signature *signature, bool table, struct bytes *to)
{
    bytes_text(to, "(");
    for (size_t i = 0; i < signature->count; i++) {
        bytes_text(to, i > 0 ? ", " : "");
        bytes_text(to, signature->parameters[i].name);
        bytes_text(to, ": ");
        write_slot(&signature->parameters[i], to);
    }
    bytes_text(to, table ? ") ->> " : ") -> ");
    write_slot(&signature->result, to);
}

void listing_function(struct bytes *list, const char *name, size_t length,
                      const struct signature *signature, bool table, const char *note)
{
    struct bytes type = { 0 };
    if (signature)
        write_signature(signature, table, &type);
    append(list, signature ? UDFVM_LISTED_FUNCTION : UDFVM_LISTED_UNTYPED,
           &(struct bytes){ (uint8_t *)name, length, length }, &type, note);
    bytes_free(&type);
}

void listing_unusable(struct bytes *list, const char *name, size_t length)
{
    append(list, UDFVM_LISTED_UNUSABLE, &(struct bytes){ (uint8_t *)name, length, length },
           &(struct bytes){ NULL, 0, 0 }, failure_message());
}

void listing_import(struct bytes *list, const struct bytes *name, const struct bytes *type,
                    const char *note)
{
    append(list, UDFVM_LISTED_IMPORT, name, type, note);
}
