/* The functions of the host that a function may call, as the host describes them. */
#ifndef UDFVM_COMPILED_HOST_OFFER_H
#define UDFVM_COMPILED_HOST_OFFER_H

#include "shared/compiled/column_stream.h"

/* A parameter, or the result. */
struct host_slot {
    uint32_t type; /* UDFVM_TYPE_x; of a result NULL: there is none */
    bool nullable;
    char *name; /* of ARROW: of the type, as pyarrow prints it; else NULL */
    /* of ARROW, if compiled code has such values; else NULL */
    struct column_stream *stream;
};

struct host_function {
    char *name;
    size_t count;
    struct host_slot result, *parameters;
};

/* Reads a description: two bytes, type and nullable, of the result and of each parameter; behind
 * those of ARROW the lengths of three texts, 32 bits each, and the texts: the type's name, and the
 * messages that streams of it begin with. Returns false if it is malformed. */
bool host_function_take(struct host_function *function, const uint8_t *name, size_t name_length,
                        const uint8_t *slots, size_t length);
void host_function_free(struct host_function *function);

/* Returns true if values of a type can be those of a slot of ARROW. Fields have the same names, in
 * which hyphens are as good as underscores. */
bool host_slot_has_type(const struct host_slot *slot, const struct type *type);

/* Writes the value that was appended to the slot's builder, in place of what `to` has. */
void host_slot_write(const struct host_slot *slot, struct bytes *to);
/* Reads a value that the host wrote. The column, of one row, is valid as long as the bytes, until
 * the slot is read or written again. Returns NULL if it is none. */
const struct column *host_slot_read(const struct host_slot *slot, const void *bytes, size_t length);

#endif
