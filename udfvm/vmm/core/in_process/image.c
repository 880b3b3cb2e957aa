/* Images without pages: what they are images of is known to the embedder. */
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"
#include "image/image.h"

/* Header and metadata, in memory that is unmapped as a file's mapping is. */
static int fill(struct udfvm_image *image, const struct image_header *header, const void *metadata,
                size_t length, struct udfvm_error *error)
{
    const size_t size = sizeof *header + length;
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return udfvm_fail_errno(error, "allocating an image");
    memcpy(mapped, header, sizeof *header);
    if (length)
        memcpy((uint8_t *)mapped + sizeof *header, metadata, length);
    image->header = mapped;
    image->mapped = size;
    return UDFVM_OK;
}

static struct udfvm_image *create(const struct udfvm_in_process *program,
                                  const struct image_header *header, const void *metadata,
                                  size_t length, struct udfvm_error *error)
{
    struct udfvm_image *image = calloc(1, sizeof *image);
    if (!image) {
        udfvm_fail_errno(error, "allocating an image");
        return NULL;
    }
    image->references = 1;
    image->fd = -1;
    image->program = program;
    if (fill(image, header, metadata, length, error) == UDFVM_OK)
        return image;
    udfvm_image_close(image);
    return NULL;
}

udfvm_image *udfvm_image_in_process(const struct udfvm_in_process *program,
                                    const struct udfvm_config *config, const uint8_t digest[32],
                                    udfvm_image *base, const void *metadata, size_t metadata_length,
                                    struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_config_check(config, error) != UDFVM_OK)
        return NULL;
    if (base && (base->base || base->program != program)) {
        udfvm_fail(error, UDFVM_E_ARGUMENT, "a layer needs a base image of the same program");
        return NULL;
    }
    struct image_header *header = calloc(1, sizeof *header); /* a page, and more */
    if (!header) {
        udfvm_fail_errno(error, "allocating an image");
        return NULL;
    }
    header->kind = base ? IMAGE_LAYER : IMAGE_BASE;
    header->config = *config;
    header->metadata_offset = sizeof *header;
    header->metadata_length = metadata_length;
    memcpy(header->digest, digest, sizeof header->digest);
    if (base)
        memcpy(header->base_digest, base->header->digest, sizeof header->base_digest);
    struct udfvm_image *image = create(program, header, metadata, metadata_length, error);
    free(header);
    if (image)
        image->base = base ? udfvm_image_retain(base) : NULL;
    return image;
}
