/* Image files, base and layer, in which anything may be another: each field of the header, with its
 * digests made right or not, the numbers of pages, the metadata, the length. What opens is used. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pages.h"
#include "image/image.h"
#include "udfvm_abi.h"

#include "guest.h"

#define MAX_FILE    (64ull << 20)
#define MAX_CHANGES 16u
#define FIELDS      16u

enum { HEADER_DIGEST = 1, CONTENT_DIGEST = 2, LAYER = 4, PART = 8, CALL = 16 };

/* An image that an honest guest sealed: its header, and the data behind. */
struct sealed {
    int fd;
    uint64_t size;
    uint8_t *start; /* of the file, as far as it is copied */
    size_t length;
};

static struct sealed sealed_base, sealed_layer;
static udfvm_image *base;

/* Of a base image only what lies before and shortly behind the start of its pages. */
static struct sealed keep(int fd, size_t longest)
{
    const uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
    struct sealed sealed = { .fd = fd, .size = size, .length = size < longest ? size : longest };
    sealed.start = malloc(sealed.length);
    if (!sealed.start || pread(fd, sealed.start, sealed.length, 0) != (ssize_t)sealed.length)
        defect("an image cannot be read");
    return sealed;
}

static const struct image_header *header_of_sealed(const struct sealed *sealed)
{
    return (const struct image_header *)sealed->start;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    sealed_base = keep(guest_seal_base(), 32768);
    base = udfvm_image_open(sealed_base.fd, NULL, NULL);
    if (!base)
        defect("no base image");
    guest.maps = true; /* which a change of the layer finds, and makes other than it is */
    sealed_layer = keep(guest_seal_layer(base), 65536);
    if (header_of_sealed(&sealed_layer)->run_count == 0)
        defect("a layer without what it mapped");
    return 0;
}

/* ---- Changes ---- */

struct image_file {
    uint8_t bytes[65536];
    size_t length;
    uint64_t size;
};

static struct image_header *header_of(struct image_file *file)
{
    return (struct image_header *)file->bytes;
}

static void set_field(struct image_file *file, uint8_t field, uint64_t number)
{
    struct image_header *header = header_of(file);
    uint64_t *const fields[FIELDS] = {
        &header->config.memory,        &header->config.input_window,
        &header->config.output_window, &header->config.scratch,
        &header->metadata_offset,      &header->metadata_length,
        &header->numbers_offset,       &header->pages_offset,
        &header->runs_offset,          &header->run_count,
        &header->page_count,           &header->state.xsave_length,
        &header->state.resume_rip,     &header->state.fs_base,
        &header->state.registers.rip,  &header->state.registers.rflags,
    };
    if (field < FIELDS)
        *fields[field] = number;
    else if (field == FIELDS)
        header->version = (uint32_t)number;
    else
        header->kind = (uint32_t)number;
}

/* A word of one of the first runs. */
static void set_run(struct image_file *file, uint8_t word, uint64_t number)
{
    const uint64_t offset = header_of(file)->runs_offset + word % 16 * sizeof number;
    if (offset <= file->length && sizeof number <= file->length - offset)
        memcpy(file->bytes + offset, &number, sizeof number);
}

static void change(struct image_file *file, struct input *input)
{
    enum { FIELD, BYTES, NUMBERS, SIZE, RUNS, RUN, WAYS };
    size_t length;
    uint64_t offset;
    uint8_t field;
    switch (input_byte(input) % WAYS) {
    case FIELD:
        field = input_byte(input) % (FIELDS + 2);
        set_field(file, field, input_number(input));
        return;
    case RUN:
        set_run(file, input_byte(input), input_number(input));
        return;
    case SIZE:
        file->size = input_number(input) % MAX_FILE;
        return;
    case RUNS:
        offset = header_of(file)->runs_offset;
        break;
    case NUMBERS:
        offset = header_of(file)->numbers_offset;
        break;
    default:
        offset = input_byte(input) * 256u;
    }
    offset += input_byte(input);
    length = input_byte(input);
    const uint8_t *bytes = input_bytes(input, &length);
    if (offset <= file->length && length <= file->length - offset)
        memcpy(file->bytes + offset, bytes, length);
}

static bool inside(const struct image_file *file, uint64_t offset, uint64_t count, uint64_t size)
{
    return offset <= file->length && count <= (file->length - offset) / size;
}

/* As udfvm_image_verify() computes it, where all that it covers lies in the copied part. */
static void mend_content(struct image_file *file)
{
    struct image_header *header = header_of(file);
    struct checksum sum_of_content;
    const uint64_t pages = header->pages_offset, count = header->page_count,
                   numbers = header->numbers_offset;
    if (pages % PAGE || numbers % 4 || !inside(file, pages, count, PAGE) ||
        !inside(file, numbers, count, 4) ||
        !inside(file, header->metadata_offset, header->metadata_length, 1) ||
        !inside(file, header->runs_offset, header->run_count, sizeof(struct reserve_run)))
        return;
    udfvm_checksum_start(&sum_of_content);
    udfvm_checksum_add(&sum_of_content, file->bytes + header->metadata_offset,
                       header->metadata_length);
    udfvm_checksum_add(&sum_of_content, file->bytes + header->runs_offset,
                       header->run_count * sizeof(struct reserve_run));
    for (uint64_t i = 0; i < count; i++) {
        uint32_t number;
        memcpy(&number, file->bytes + numbers + 4 * i, sizeof number);
        udfvm_image_add_page(&sum_of_content, number, file->bytes + pages + i * PAGE);
    }
    udfvm_checksum_digest(&sum_of_content, header->content_digest);
}

static int write_file(const struct image_file *file)
{
    const int fd = memfd_create("udfvm-fuzz", MFD_CLOEXEC);
    const size_t length = file->length < file->size ? file->length : file->size;
    if (fd < 0 || ftruncate(fd, (off_t)file->size) < 0 ||
        pwrite(fd, file->bytes, length, 0) != (ssize_t)length)
        defect("a file cannot be written");
    return fd;
}

/* ---- Uses ---- */

static void call_on(udfvm_image *image)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    guest = (struct guest){ .kind = GUEST_COMPLETES,
                            .replies = 1,
                            .input = { (const uint8_t *)"12345678", 8 } };
    udfvm_vm *vm = udfvm_vm_open(image, NULL, &error);
    if (!vm)
        return;
    if (udfvm_vm_call(vm, UDFVM_REQUEST_ROW, "x", 1, NULL, &reply, &error) == UDFVM_OK)
        read_all(reply.data, reply.length);
    if (udfvm_vm_restore(vm, &error) == UDFVM_OK)
        guest_check_restored(vm);
    udfvm_vm_bind(vm, base, &error);
    udfvm_vm_close(vm);
}

static void use(udfvm_image *image, bool calls)
{
    struct udfvm_image_statistics statistics;
    struct udfvm_error error;
    size_t length;
    const void *metadata = udfvm_image_metadata(image, &length);
    udfvm_image_statistics(image, &statistics);
    read_all(metadata, length);
    const uint64_t pages = (statistics.memory - UDFVM_KERNEL_BASE) / PAGE;
    for (uint64_t page = 0; page < pages; page += 1 + pages / 64) {
        const uint8_t *sealed = udfvm_image_page(image, (uint32_t)page);
        read_all(sealed, sealed ? PAGE : 0);
    }
    udfvm_image_verify(image, &error);
    if (calls)
        call_on(image);
}

static void locate(int fd, uint64_t size)
{
    struct udfvm_image_location location;
    if (udfvm_image_locate_metadata(fd, &location) == UDFVM_OK &&
        (location.offset > size || location.length > size - location.offset))
        defect("metadata outside of their file");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image_file file;
    struct input input = { data, size };
    struct udfvm_error error;
    const uint8_t how = input_byte(&input);
    const struct sealed *from = how & LAYER ? &sealed_layer : &sealed_base;
    file.length = from->length;
    file.size = from->size;
    memcpy(file.bytes, from->start, from->length);
    for (unsigned i = 0; i < MAX_CHANGES && input.left; i++)
        change(&file, &input);
    if (how & CONTENT_DIGEST)
        mend_content(&file);
    if (how & HEADER_DIGEST)
        udfvm_image_header_digest(header_of(&file), header_of(&file)->digest);
    const int fd = write_file(&file);
    locate(fd, file.size);
    udfvm_image *on = how & LAYER ? base : NULL;
    udfvm_image *image = how & PART ? udfvm_image_open_within(fd, input_number(&input) & ~4095ull,
                                                              input_number(&input), on, &error)
                                    : udfvm_image_open(fd, on, &error);
    if (image)
        use(image, how & CALL);
    udfvm_image_close(image);
    close(fd);
    return 0;
}
