/* Opening sealed images. The format is struct image_header in image.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"
#include "base/worker.h"
#include "image/image.h"

static const uint8_t *file(const struct udfvm_image *image)
{
    return (const uint8_t *)image->header;
}

static bool inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

void udfvm_image_header_digest(const struct image_header *header, uint8_t digest[32])
{
    struct checksum sum;
    udfvm_checksum_start(&sum);
    udfvm_checksum_add(&sum, header, offsetof(struct image_header, digest));
    udfvm_checksum_digest(&sum, digest);
}

void udfvm_image_add_page(struct checksum *sum, uint64_t number, const void *page)
{
    uint64_t block[4] = { number, ~number, number, ~number };
    udfvm_checksum_add(sum, block, sizeof block);
    udfvm_checksum_add(sum, page, PAGE);
}

static bool has_digest(const struct image_header *header)
{
    uint8_t digest[32];
    udfvm_image_header_digest(header, digest);
    return memcmp(digest, header->digest, sizeof digest) == 0;
}

/* Everything that the header tells of lies in the file, at offsets that fit. */
static bool has_all_parts(const struct image_header *header, uint64_t size)
{
    const uint64_t memory = header->config.memory - SYSTEM_SIZE;
    const bool is_base = header->kind == IMAGE_BASE;
    if (udfvm_config_check(&header->config, NULL) != UDFVM_OK || header->page_count > memory / PAGE)
        return false;
    const uint64_t stored = is_base ? memory : header->page_count * PAGE;
    return inside(header->metadata_offset, header->metadata_length, size) &&
           header->run_count <= memory / PAGE && header->runs_offset % sizeof(uint64_t) == 0 &&
           inside(header->runs_offset, header->run_count * sizeof(struct reserve_run), size) &&
           header->pages_offset % PAGE == 0 && inside(header->pages_offset, stored, size) &&
           header->numbers_offset % sizeof(uint32_t) == 0 &&
           (is_base || inside(header->numbers_offset, header->page_count * sizeof(uint32_t), size));
}

static int check_base(const struct image_header *header, const struct udfvm_image *base,
                      struct udfvm_error *error)
{
    const bool is_base = header->kind == IMAGE_BASE;
    if (is_base != (base == NULL))
        return udfvm_fail(error, UDFVM_E_IMAGE,
                          is_base ? "image is a base, not a layer"
                                  : "image is a layer, not a base");
    /* The layer's page numbers are of the base's memory. */
    if (base &&
        (memcmp(base->header->digest, header->base_digest, sizeof header->base_digest) != 0 ||
         header->config.memory != base->header->config.memory))
        return udfvm_fail(error, UDFVM_E_IMAGE, "layer was sealed on another base image");
    return UDFVM_OK;
}

static int check_header(const struct image_header *header, uint64_t size,
                        const struct udfvm_image *base, struct udfvm_error *error)
{
    if (size < sizeof *header || header->magic != IMAGE_MAGIC)
        return udfvm_fail(error, UDFVM_E_IMAGE, "not a udfvm image");
    if (header->version != IMAGE_VERSION)
        return udfvm_fail(error, UDFVM_E_IMAGE, "image format version %u, this library reads %u",
                          header->version, IMAGE_VERSION);
    if (!has_digest(header))
        return udfvm_fail(error, UDFVM_E_IMAGE, "image header is damaged");
    if (!has_all_parts(header, size))
        return udfvm_fail(error, UDFVM_E_IMAGE, "image is truncated or its header makes no sense");
    return check_base(header, base, error);
}

/* Page numbers are used as indices: they are checked however the image was opened. */
static int check_numbers(const struct udfvm_image *image, struct udfvm_error *error)
{
    const uint64_t limit = (image->header->config.memory - SYSTEM_SIZE) / PAGE;
    for (uint64_t i = 0; i < image->header->page_count; i++)
        if (image->numbers[i] >= limit || (i > 0 && image->numbers[i] <= image->numbers[i - 1]))
            return udfvm_fail(error, UDFVM_E_IMAGE, "layer has a page out of order");
    return UDFVM_OK;
}

static const struct reserve_run *runs_of(const struct udfvm_image *image)
{
    return (const struct reserve_run *)(file(image) + image->header->runs_offset);
}

int udfvm_image_map_reserve(const struct udfvm_image *image, struct machine *machine,
                            struct udfvm_error *error)
{
    return udfvm_reserve_bind(machine, runs_of(image), image->header->run_count, error);
}

static int check_runs(const struct udfvm_image *image, struct udfvm_error *error)
{
    return udfvm_reserve_runs_valid(image->header->config.memory, runs_of(image),
                                    image->header->run_count)
               ? UDFVM_OK
               : udfvm_fail(error, UDFVM_E_IMAGE, "the image maps memory that a VM has not");
}

static void add_layer_pages(const struct udfvm_image *image, struct checksum *sum)
{
    for (uint64_t i = 0; i < image->header->page_count; i++)
        udfvm_image_add_page(sum, image->numbers[i],
                             file(image) + image->header->pages_offset + i * PAGE);
}

/* Walks the parts of the file that hold data: holes are zero pages, which take no part in the
 * checksum. */
static int check_base_pages(const struct udfvm_image *image, struct checksum *sum,
                            struct udfvm_error *error)
{
    const struct image_header *header = image->header;
    const uint64_t start = header->pages_offset, end = start + header->config.memory - SYSTEM_SIZE;
    uint64_t pages = 0;
    for (uint64_t offset = start; offset < end;) {
        off_t data = lseek(image->fd, (off_t)(image->offset + offset), SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        off_t hole = data < 0 ? data : lseek(image->fd, data, SEEK_HOLE);
        if (data < 0 || hole < 0)
            return udfvm_fail(error, UDFVM_E_IMAGE, "the image's extents cannot be read");
        const uint64_t from = (uint64_t)data - image->offset, to = (uint64_t)hole - image->offset;
        uint64_t first = from < start ? start : from & ~(PAGE - 1);
        uint64_t last = to < end ? to : end;
        for (offset = first; offset < last; offset += PAGE)
            if (!udfvm_page_is_zero(file(image) + offset)) {
                udfvm_image_add_page(sum, (offset - start) / PAGE, file(image) + offset);
                pages++;
            }
    }
    if (pages != header->page_count)
        return udfvm_fail(error, UDFVM_E_IMAGE, "image content is damaged (pages missing)");
    return UDFVM_OK;
}

int udfvm_image_verify(const udfvm_image *image, struct udfvm_error *error)
{
    const struct image_header *header = image->header;
    struct checksum sum;
    uint8_t digest[32];
    udfvm_error_clear(error);
    udfvm_checksum_start(&sum);
    udfvm_checksum_add(&sum, file(image) + header->metadata_offset, header->metadata_length);
    udfvm_checksum_add(&sum, runs_of(image), header->run_count * sizeof(struct reserve_run));
    if (image->base)
        add_layer_pages(image, &sum);
    else if (check_base_pages(image, &sum, error) != UDFVM_OK)
        return UDFVM_E_IMAGE;
    udfvm_checksum_digest(&sum, digest);
    if (memcmp(digest, header->content_digest, sizeof digest) != 0)
        return udfvm_fail(error, UDFVM_E_IMAGE, "image content is damaged (checksum differs)");
    return UDFVM_OK;
}

/* `length` UINT64_MAX: up to the end of the file. */
static int map_file(struct udfvm_image *image, int fd, uint64_t offset, uint64_t length, bool layer,
                    struct udfvm_error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return udfvm_fail_errno(error, "reading the image's size");
    const uint64_t size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    if (length == UINT64_MAX && offset <= size)
        length = size - offset;
    if (offset % PAGE != 0 || !inside(offset, length, size) || length < sizeof(struct image_header))
        return udfvm_fail(error, UDFVM_E_IMAGE, "not a udfvm image: too short");
    image->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (image->fd < 0)
        return udfvm_fail_errno(error, "duplicating the image's descriptor");
    image->offset = offset;
    image->mapped = length;
    /* Not shared: Linux before 6.7 refuses that for memory sealed against writing. */
    void *mapped = mmap(NULL, image->mapped, PROT_READ, MAP_PRIVATE, image->fd, (off_t)offset);
    if (mapped == MAP_FAILED)
        return udfvm_fail_errno(error, "mapping the image");
    image->header = mapped;
    if (layer &&
        status.st_nlink == 0) { /* memory without a name: the mapping is all that is needed of it */
        close(image->fd);
        image->fd = -1;
    }
    return UDFVM_OK;
}

static void ask(struct work *work, size_t index)
{
    (void)work;
    (void)index;
    udfvm_hypervisor_ask();
}

void udfvm_foresee_vm(void)
{
    static struct work asking = { .chunk = ask, .chunks = 1 };
    static atomic_flag offered = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&offered))
        udfvm_work_offer(&asking);
}

static int fill_image(struct udfvm_image *image, int fd, uint64_t offset, uint64_t length,
                      struct udfvm_image *base, struct udfvm_error *error)
{
    if (base && base->base)
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "a layer cannot be the base of a layer");
    UDFVM_TRY(map_file(image, fd, offset, length, base != NULL, error));
    UDFVM_TRY(check_header(image->header, image->mapped, base, error));
    UDFVM_TRY(check_runs(image, error));
    image->base = base ? udfvm_image_retain(base) : NULL;
    if (!base) { /* which has no numbers: what its header says of them means nothing */
        udfvm_foresee_vm();
        return udfvm_image_find_holes(image, error);
    }
    image->numbers = (const uint32_t *)(file(image) + image->header->numbers_offset);
    return check_numbers(image, error);
}

udfvm_image *udfvm_image_open(int fd, udfvm_image *base, struct udfvm_error *error)
{
    return udfvm_image_open_within(fd, 0, UINT64_MAX, base, error);
}

udfvm_image *udfvm_image_open_within(int fd, uint64_t offset, uint64_t length, udfvm_image *base,
                                     struct udfvm_error *error)
{
    udfvm_error_clear(error);
    struct udfvm_image *image = calloc(1, sizeof *image);
    if (!image) {
        udfvm_fail_errno(error, "allocating an image");
        return NULL;
    }
    image->references = 1;
    image->fd = -1;
    if (fill_image(image, fd, offset, length, base, error) == UDFVM_OK)
        return image;
    udfvm_image_close(image);
    return NULL;
}

udfvm_image *udfvm_image_retain(udfvm_image *image)
{
    atomic_fetch_add(&image->references, 1);
    return image;
}

void udfvm_image_close(udfvm_image *image)
{
    if (!image || atomic_fetch_sub(&image->references, 1) != 1)
        return;
    if (image->header)
        munmap((void *)(uintptr_t)image->header, image->mapped);
    if (image->fd >= 0)
        close(image->fd);
    udfvm_image_close(image->base);
    free(image->holes);
    free(image);
}

bool udfvm_image_same_base(const struct udfvm_image *left, const struct udfvm_image *right)
{
    const struct udfvm_image *one = left->base ? left->base : left,
                             *other = right->base ? right->base : right;
    return memcmp(one->header->digest, other->header->digest, sizeof one->header->digest) == 0;
}

const void *udfvm_image_metadata(const udfvm_image *image, size_t *length)
{
    *length = image->header->metadata_length;
    return file(image) + image->header->metadata_offset;
}

static bool read_header(int fd, struct image_header *header)
{
    struct stat status;
    return pread(fd, header, sizeof *header, 0) == (ssize_t)sizeof *header &&
           header->magic == IMAGE_MAGIC && header->version == IMAGE_VERSION && has_digest(header) &&
           fstat(fd, &status) == 0 && has_all_parts(header, (uint64_t)status.st_size);
}

int udfvm_image_locate_metadata(int fd, struct udfvm_image_location *location)
{
    struct image_header *header = malloc(sizeof *header);
    int code = UDFVM_E_IMAGE;
    if (header && read_header(fd, header)) {
        *location = (struct udfvm_image_location){ .offset = header->metadata_offset,
                                                   .length = header->metadata_length };
        memcpy(location->digest, header->digest, sizeof location->digest);
        memcpy(location->base_digest, header->base_digest, sizeof location->base_digest);
        code = UDFVM_OK;
    }
    free(header);
    return code;
}

void udfvm_image_statistics(const udfvm_image *image, struct udfvm_image_statistics *statistics)
{
    *statistics = (struct udfvm_image_statistics){
        .memory = image->header->config.memory,
        .pages = image->header->page_count,
        .file_bytes = image->mapped,
        .is_layer = image->base != NULL,
        .input_window = image->header->config.input_window,
        .output_window = image->header->config.output_window,
    };
    memcpy(statistics->digest, image->header->digest, sizeof statistics->digest);
}

const uint8_t *udfvm_image_page(const struct udfvm_image *image, uint32_t number)
{
    const struct image_header *header = image->header;
    if (!image->base)
        return udfvm_image_is_hole(image, number)
                   ? NULL
                   : file(image) + header->pages_offset + number * PAGE;
    size_t low = 0, high = header->page_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < header->page_count && image->numbers[low] == number)
        return file(image) + header->pages_offset + low * PAGE;
    return udfvm_image_page(image->base, number);
}

bool udfvm_image_is_of_base(const struct udfvm_image *image, const uint8_t *page)
{
    return !image->base || page < file(image) || page >= file(image) + image->mapped;
}
