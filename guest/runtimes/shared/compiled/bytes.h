/* A growing byte array. If memory is out, the program aborts: the arrays are small. */
#ifndef UDFVM_COMPILED_BYTES_H
#define UDFVM_COMPILED_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *at;
    size_t length, capacity;
};

void bytes_put(struct bytes *bytes, const void *from, size_t length);
void bytes_text(struct bytes *bytes, const char *text);
/* Appends `length` zeros and returns their address. */
uint8_t *bytes_extend(struct bytes *bytes, size_t length);
void bytes_free(struct bytes *bytes);

#endif
