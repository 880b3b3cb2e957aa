/* Writing sealed images: a base from the memory of a VM that was booted, a layer from the pages
 * that a LOAD changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "image/image.h"

static int write_at(int fd, const void *data, uint64_t length, uint64_t offset,
                    struct udfvm_error *error)
{
    const uint8_t *at = data;
    while (length) {
        ssize_t wrote = pwrite(fd, at, length, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return udfvm_fail_errno(error, "writing the image");
        at += wrote;
        offset += (uint64_t)wrote;
        length -= (uint64_t)wrote;
    }
    return UDFVM_OK;
}

/* Writes every page that is not zero, in runs; what is not written stays a hole. */
static int write_base_pages(const struct udfvm_vm *vm, int fd, struct image_header *header,
                            struct checksum *sum, struct udfvm_error *error)
{
    const uint64_t pages = vm->machine.memory_bytes / PAGE;
    for (uint64_t number = 0; number < pages;) {
        uint64_t run = number;
        while (run < pages && !udfvm_page_is_zero(vm->machine.memory + run * PAGE))
            udfvm_image_add_page(sum, run, vm->machine.memory + run * PAGE), run++;
        if (run > number) {
            int code = write_at(fd, vm->machine.memory + number * PAGE, (run - number) * PAGE,
                                header->pages_offset + number * PAGE, error);
            if (code != UDFVM_OK)
                return code;
            header->page_count += run - number;
        }
        number = run + 1;
    }
    return UDFVM_OK;
}

static int compare_numbers(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Pages of program memory that differ from the base, ascending. Whatever the guest wrote since the
 * last restore is in the hot set. */
static uint64_t changed_pages(const struct udfvm_vm *vm, uint32_t *numbers)
{
    const uint64_t limit = vm->machine.memory_bytes / PAGE;
    uint64_t count = 0;
    for (size_t i = 0; i < vm->hot.count; i++) {
        const struct hot_page *page = &vm->hot.pages[i];
        const uint8_t *now = vm->machine.memory + page->number * PAGE;
        if (page->number < limit &&
            (page->pristine ? memcmp(now, page->pristine, PAGE) != 0 : !udfvm_page_is_zero(now)))
            numbers[count++] = page->number;
    }
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    return count;
}

static int write_layer_pages(const struct udfvm_vm *vm, int fd, struct image_header *header,
                             struct checksum *sum, const uint32_t *numbers,
                             struct udfvm_error *error)
{
    int code = write_at(fd, numbers, header->page_count * sizeof *numbers, header->numbers_offset,
                        error);
    for (uint64_t i = 0; code == UDFVM_OK && i < header->page_count; i++) {
        const uint8_t *page = vm->machine.memory + numbers[i] * PAGE;
        udfvm_image_add_page(sum, numbers[i], page);
        code = write_at(fd, page, PAGE, header->pages_offset + i * PAGE, error);
    }
    return code;
}

static int write_image(const struct udfvm_vm *vm, int fd, struct image_header *header,
                       const void *metadata, const uint32_t *numbers, struct udfvm_error *error)
{
    struct checksum sum;
    udfvm_checksum_start(&sum);
    udfvm_checksum_add(&sum, metadata, header->metadata_length);
    int code = write_at(fd, metadata, header->metadata_length, header->metadata_offset, error);
    if (code == UDFVM_OK)
        code = numbers ? write_layer_pages(vm, fd, header, &sum, numbers, error)
                       : write_base_pages(vm, fd, header, &sum, error);
    if (code != UDFVM_OK)
        return code;
    const uint64_t stored = numbers ? header->page_count * PAGE : vm->machine.memory_bytes;
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

int udfvm_vm_seal_named(udfvm_vm *vm, int fd, const uint8_t name[32], const void *metadata,
                        size_t metadata_length, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (!vm->seal_info || (vm->image && vm->image->base))
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "the VM has not asked to be sealed, or is bound to a layer");
    int code = vm->image ? udfvm_vm_collect_dirty(vm, error) : UDFVM_OK;
    if (code != UDFVM_OK)
        return code;
    struct image_header *header = calloc(1, sizeof *header);
    uint32_t *numbers = vm->image ? malloc((vm->hot.count + 1) * sizeof *numbers) : NULL;
    if (!header || (vm->image && !numbers)) {
        code = udfvm_fail_errno(error, "allocating an image header");
        goto out;
    }
    *header = (struct image_header){
        .magic = IMAGE_MAGIC,
        .version = IMAGE_VERSION,
        .kind = vm->image ? IMAGE_LAYER : IMAGE_BASE,
        .config = vm->config,
        .metadata_offset = round_up(sizeof *header, 64),
        .metadata_length = metadata_length,
        .state = *vm->seal_state,
    };
    if (name)
        memcpy(header->name, name, sizeof header->name);
    header->numbers_offset = round_up(header->metadata_offset + metadata_length, 64);
    if (vm->image) {
        header->page_count = changed_pages(vm, numbers);
        memcpy(header->base_digest, vm->image->header->digest, sizeof header->base_digest);
    }
    header->pages_offset = round_up(header->numbers_offset + header->page_count * sizeof *numbers,
                                    PAGE);
    code = write_image(vm, fd, header, metadata, numbers, error);
out:
    free(numbers);
    free(header);
    return code;
}

int udfvm_vm_seal(udfvm_vm *vm, int fd, const void *metadata, size_t metadata_length,
                  struct udfvm_error *error)
{
    return udfvm_vm_seal_named(vm, fd, NULL, metadata, metadata_length, error);
}
