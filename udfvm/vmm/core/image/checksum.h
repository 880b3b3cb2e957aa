/* A checksum of what an image stores. */
#ifndef UDFVM_IMAGE_CHECKSUM_H
#define UDFVM_IMAGE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

struct checksum {
    uint64_t lanes[4];
};
void udfvm_checksum_start(struct checksum *sum);
/* Pads the data with zeros to a multiple of 32 bytes. */
void udfvm_checksum_add(struct checksum *sum, const void *data, size_t length);
void udfvm_checksum_digest(const struct checksum *sum, uint8_t digest[32]);

#endif
