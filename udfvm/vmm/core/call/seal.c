/* Sealing a VM: a base image of one that was booted, a layer of one that loaded a function. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/pages.h"
#include "call/vm.h"

const struct udfvm_seal_info *udfvm_vm_seal_info(const udfvm_vm *vm)
{
    return vm->seal_info;
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
    const struct hot_set *hot = &vm->memory.hot;
    const uint64_t limit = vm->machine.memory_bytes / PAGE;
    uint64_t count = 0;
    for (size_t i = 0; i < hot->count; i++) {
        const struct hot_page *page = &hot->pages[i];
        const uint8_t *now = vm->machine.memory + page->number * PAGE;
        if (page->number < limit &&
            (page->pristine ? memcmp(now, page->pristine, PAGE) != 0 : !udfvm_page_is_zero(now)))
            numbers[count++] = page->number;
    }
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    return count;
}

static int seal_layer(struct udfvm_vm *vm, int fd, struct image_content *content,
                      struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_hot_set_collect(&vm->memory, error));
    uint32_t *numbers = malloc((vm->memory.hot.count + 1) * sizeof *numbers);
    if (!numbers)
        return udfvm_fail_errno(error, "allocating the pages of a layer");
    content->base = vm->memory.image;
    content->numbers = numbers;
    content->count = changed_pages(vm, numbers);
    const int code = udfvm_image_write(fd, content, error);
    free(numbers);
    return code;
}

int udfvm_vm_seal_named(udfvm_vm *vm, int fd, const uint8_t name[32], const void *metadata,
                        size_t metadata_length, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    const struct udfvm_image *image = vm->memory.image;
    if (!vm->seal_info || (image && image->base))
        return udfvm_fail(error, UDFVM_E_ARGUMENT,
                          "the VM has not asked to be sealed, or is bound to a layer");
    if (vm->remote)
        return vm->remote->seal(vm, fd, name, metadata, metadata_length, error);
    struct image_content content = {
        .config = &vm->config,
        .state = vm->seal_state,
        .memory = vm->machine.memory,
        .name = name,
        .metadata = metadata,
        .metadata_length = metadata_length,
    };
    struct reserve_run *runs;
    if (!udfvm_reserve_runs(&vm->machine, &runs, &content.run_count))
        return udfvm_fail_errno(error, "allocating what is mapped of a VM's reserve");
    content.runs = runs;
    const int code = image ? seal_layer(vm, fd, &content, error)
                           : udfvm_image_write(fd, &content, error);
    free(runs);
    return code;
}

int udfvm_vm_seal(udfvm_vm *vm, int fd, const void *metadata, size_t metadata_length,
                  struct udfvm_error *error)
{
    return udfvm_vm_seal_named(vm, fd, NULL, metadata, metadata_length, error);
}
