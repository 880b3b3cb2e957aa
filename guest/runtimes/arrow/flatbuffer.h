/* Flatbuffers (flatbuffers.dev), as far as Arrow's metadata need them. Results are offsets into the
 * data; 0 means none, or one outside the data. */
#ifndef UDFVM_ARROW_FLATBUFFER_H
#define UDFVM_ARROW_FLATBUFFER_H

#include <stddef.h>
#include <stdint.h>

uint32_t flatbuffer_root(const uint8_t *data, uint32_t length);
/* Returns the offset of a table's field, which has at least eight bytes. */
uint32_t flatbuffer_field(const uint8_t *data, uint32_t length, uint32_t table, unsigned field);
/* Returns the offset of the table that a field refers to. */
uint32_t flatbuffer_table(const uint8_t *data, uint32_t length, uint32_t table, unsigned field);
/* Returns the offset of the first element of the vector that a field refers to, and the number of
 * its elements of `width` bytes. */
uint32_t flatbuffer_vector(const uint8_t *data, uint32_t length, uint32_t table, unsigned field,
                           size_t width, uint32_t *count);

#endif
