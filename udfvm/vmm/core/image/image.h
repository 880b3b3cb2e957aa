/* Image files: their format, opening and writing them, and their holes. */
#ifndef UDFVM_IMAGE_IMAGE_H
#define UDFVM_IMAGE_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "image/checksum.h"
#include "machine/machine.h"

#define IMAGE_MAGIC   0x314d564644554d49ull
#define IMAGE_VERSION 6u
enum { IMAGE_BASE = 1, IMAGE_LAYER = 2 };
/* File: this header, then metadata, what is mapped of the reserve, layer page numbers (uint32_t
 * each), and the pages at a page boundary. A base stores its memory at full length with holes for
 * zero pages; a layer stores just its pages, in the order of their numbers. */
struct image_header {
    uint64_t magic;
    uint32_t version, kind;
    struct udfvm_config config;
    uint64_t metadata_offset, metadata_length;
    uint64_t runs_offset, run_count; /* of struct reserve_run; a layer's are all its own */
    uint64_t numbers_offset, pages_offset;
    uint64_t page_count;        /* base: non-zero pages */
    uint8_t name[32];           /* under which it is in the cache; zeros: none */
    uint8_t base_digest[32];    /* layer: the base's digest */
    uint8_t content_digest[32]; /* of metadata, runs, numbers and pages */
    struct sealed_state state;
    uint8_t digest[32]; /* of everything above: the identity of the image */
};
struct udfvm_image {
    atomic_int references;
    int fd;
    uint64_t offset; /* of the image in the file: 0 where it is a file of its own */
    const struct image_header *header; /* mapping of the whole image, read-only */
    size_t mapped;
    struct udfvm_image *base; /* layer: holds a reference; base: NULL */
    const uint32_t *numbers;  /* layer: ascending page numbers */
    uint64_t *holes; /* base: bitmap of the pages of program memory that the file has not */
    const struct udfvm_in_process *program; /* what runs in its place, in this process; NULL: it is
                                               an image of a VM */
};
/* The sealed content of page `number` of program memory; NULL: zeros, which the image does not
 * store. */
const uint8_t *udfvm_image_page(const struct udfvm_image *image, uint32_t number);
/* Whether that is what a VM's mapping of the base has there: what a layer stores is not. */
bool udfvm_image_is_of_base(const struct udfvm_image *image, const uint8_t *page);
/* Both are of one base image, by content: a process may have it open more than once. */
bool udfvm_image_same_base(const struct udfvm_image *left, const struct udfvm_image *right);
void udfvm_image_header_digest(const struct image_header *header, uint8_t digest[32]);
void udfvm_image_add_page(struct checksum *sum, uint64_t number, const void *page);

/* What the image has mapped of the reserve is so in the VM, whose memory is the image's. */
int udfvm_image_map_reserve(const struct udfvm_image *image, struct machine *machine,
                            struct udfvm_error *error);

/* ---- holes.c ---- */

int udfvm_image_find_holes(struct udfvm_image *image, struct udfvm_error *error);
bool udfvm_image_is_hole(const struct udfvm_image *image, uint64_t number);
/* Program memory of a VM of the base, where that has large holes, becomes anonymous. */
int udfvm_image_map_holes(const struct udfvm_image *image, const struct machine *machine,
                          struct udfvm_error *error);

/* ---- image_write.c ---- */

struct image_content {
    const struct udfvm_config *config;
    const struct sealed_state *state;
    const uint8_t *memory; /* program memory, of config->memory bytes but the system area */
    const struct udfvm_image *base; /* NULL: a base is written; else a layer of this one */
    const uint32_t *numbers;        /* of the layer's pages, ascending */
    uint64_t count;                 /* of the layer's pages */
    const uint8_t *name;            /* of 32 bytes; NULL: none */
    const void *metadata;
    size_t metadata_length;
    const struct reserve_run *runs; /* see struct image_header */
    uint64_t run_count;
};
/* Into a new, empty file. */
int udfvm_image_write(int fd, const struct image_content *content, struct udfvm_error *error);

#endif
