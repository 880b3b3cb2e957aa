/* Writing sealed images: a base from all memory that is not zero, a layer from the pages that
 * differ from the base. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "image/image.h"

#define PARTS 256u /* that one system call writes */
/* Pages of zeros that become a hole. Whoever opens the image asks the system for each hole, which
 * takes longer than a few pages are worth. */
#define MIN_HOLE 16u

/* Writes what several pieces of memory hold, one behind the other. Changes the pieces. */
static int write_parts_at(int fd, struct iovec *parts, size_t count, uint64_t offset,
                          struct udfvm_error *error)
{
    while (count) {
        ssize_t wrote = pwritev(fd, parts, (int)count, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return udfvm_fail_errno(error, "writing the image");
        offset += (uint64_t)wrote;
        for (; count && (size_t)wrote >= parts->iov_len; parts++, count--)
            wrote -= (ssize_t)parts->iov_len;
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + wrote;
            parts->iov_len -= (size_t)wrote;
        }
    }
    return UDFVM_OK;
}

static int write_at(int fd, const void *data, uint64_t length, uint64_t offset,
                    struct udfvm_error *error)
{
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = length };
    return write_parts_at(fd, &part, length != 0, offset, error);
}

/* Adds the pages of a run that begins at a page; returns where it ends: before a hole. */
static uint64_t add_run(const struct image_content *content, uint64_t number,
                        struct image_header *header, struct checksum *sum)
{
    const uint64_t pages = (content->config->memory - SYSTEM_SIZE) / PAGE;
    uint64_t end = number;
    for (; number < pages && number < end + MIN_HOLE; number++)
        if (!udfvm_page_is_zero(content->memory + number * PAGE)) {
            udfvm_image_add_page(sum, number, content->memory + number * PAGE);
            header->page_count++;
            end = number + 1;
        }
    return end;
}

/* Writes every page that is not zero, in runs; what is not written stays a hole. */
static int write_base_pages(const struct image_content *content, int fd,
                            struct image_header *header, struct checksum *sum,
                            struct udfvm_error *error)
{
    const uint64_t pages = (content->config->memory - SYSTEM_SIZE) / PAGE;
    for (uint64_t number = 0; number < pages; number++) {
        if (udfvm_page_is_zero(content->memory + number * PAGE))
            continue;
        const uint64_t end = add_run(content, number, header, sum);
        UDFVM_TRY(write_at(fd, content->memory + number * PAGE, (end - number) * PAGE,
                           header->pages_offset + number * PAGE, error));
        number = end;
    }
    return UDFVM_OK;
}

static int write_layer_pages(const struct image_content *content, int fd,
                             const struct image_header *header, struct checksum *sum,
                             struct udfvm_error *error)
{
    UDFVM_TRY(write_at(fd, content->numbers, content->count * sizeof *content->numbers,
                       header->numbers_offset, error));
    struct iovec parts[PARTS];
    for (uint64_t first = 0; first < content->count; first += PARTS) {
        const uint64_t left = content->count - first, count = left < PARTS ? left : PARTS;
        for (uint64_t i = 0; i < count; i++) {
            const uint32_t number = content->numbers[first + i];
            const uint8_t *page = content->memory + number * PAGE;
            udfvm_image_add_page(sum, number, page);
            parts[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)page, .iov_len = PAGE };
        }
        UDFVM_TRY(write_parts_at(fd, parts, count, header->pages_offset + first * PAGE, error));
    }
    return UDFVM_OK;
}

/* Completes the header, and writes it last: a file that is not whole is no image. */
static int write_parts(const struct image_content *content, int fd, struct image_header *header,
                       struct udfvm_error *error)
{
    struct checksum sum;
    udfvm_checksum_start(&sum);
    udfvm_checksum_add(&sum, content->metadata, content->metadata_length);
    UDFVM_TRY(
        write_at(fd, content->metadata, content->metadata_length, header->metadata_offset, error));
    const uint64_t run_bytes = content->run_count * sizeof *content->runs;
    udfvm_checksum_add(&sum, content->runs, run_bytes);
    UDFVM_TRY(write_at(fd, content->runs, run_bytes, header->runs_offset, error));
    if (content->base)
        UDFVM_TRY(write_layer_pages(content, fd, header, &sum, error));
    else
        UDFVM_TRY(write_base_pages(content, fd, header, &sum, error));
    const uint64_t stored = content->base ? content->count * PAGE
                                          : content->config->memory - SYSTEM_SIZE;
    if (ftruncate(fd, (off_t)(header->pages_offset + stored)) < 0)
        return udfvm_fail_errno(error, "sizing the image");
    udfvm_checksum_digest(&sum, header->content_digest);
    udfvm_image_header_digest(header, header->digest);
    return write_at(fd, header, sizeof *header, 0, error);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static void begin_header(const struct image_content *content, struct image_header *header)
{
    *header = (struct image_header){
        .magic = IMAGE_MAGIC,
        .version = IMAGE_VERSION,
        .kind = content->base ? IMAGE_LAYER : IMAGE_BASE,
        .config = *content->config,
        .metadata_offset = round_up(sizeof *header, 64),
        .metadata_length = content->metadata_length,
        .page_count = content->count,
        .state = *content->state,
    };
    header->runs_offset = round_up(header->metadata_offset + header->metadata_length, 64);
    header->run_count = content->run_count;
    header->numbers_offset = round_up(
        header->runs_offset + content->run_count * sizeof *content->runs, 64);
    header->pages_offset = round_up(
        header->numbers_offset + content->count * sizeof *content->numbers, PAGE);
    if (content->name)
        memcpy(header->name, content->name, sizeof header->name);
    if (content->base)
        memcpy(header->base_digest, content->base->header->digest, sizeof header->base_digest);
}

int udfvm_image_write(int fd, const struct image_content *content, struct udfvm_error *error)
{
    struct image_header *header = calloc(1, sizeof *header);
    if (!header)
        return udfvm_fail_errno(error, "allocating an image header");
    begin_header(content, header);
    const int code = write_parts(content, fd, header, error);
    free(header);
    return code;
}
