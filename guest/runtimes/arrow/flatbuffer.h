/* Flatbuffers (flatbuffers.dev), as far as Arrow's metadata need them. Places are offsets into the
 * data; 0 is none, or one that is not inside. */
#ifndef UDFVM_ARROW_FLATBUFFER_H
#define UDFVM_ARROW_FLATBUFFER_H

#include <stddef.h>
#include <stdint.h>

uint32_t flatbuffer_root(const uint8_t *data, uint32_t length);
/* A field of a table, with room for eight bytes. */
uint32_t flatbuffer_field(const uint8_t *data, uint32_t length, uint32_t table, unsigned field);
/* The table that a field points to. */
uint32_t flatbuffer_table(const uint8_t *data, uint32_t length, uint32_t table, unsigned field);
/* The first element of the vector that a field points to, and the number of its elements of `width`
 * bytes. */
uint32_t flatbuffer_vector(const uint8_t *data, uint32_t length, uint32_t table, unsigned field,
                           size_t width, uint32_t *count);

#endif
