/* The memory of a VM as a whole: see memory.h. */
#include "memory/memory.h"

#include <unistd.h>

#include "base/error.h"
#include "base/pages.h"

/* The page of the guest's timer and of streaming calls' replies, where another process reads it. */
static int share_reply(const struct machine *machine, const struct udfvm_image *base,
                       struct udfvm_error *error)
{
    const uint32_t page = STREAM_REPLY_OFFSET / PAGE;
    if (!machine->shared)
        return UDFVM_OK;
    UDFVM_TRY(udfvm_machine_share_reply(machine, error));
    if (base)
        udfvm_span_put_back(machine, page, udfvm_image_page(base, page), 1);
    return UDFVM_OK;
}

#define FILL_PAGES 32u /* of a layer, at a time */

int udfvm_memory_create(struct guest_memory *memory, struct machine *machine,
                        struct udfvm_image *base, struct udfvm_error *error)
{
    *memory = (struct guest_memory){ .machine = machine, .pagemap = -1 };
    if (!base)
        return share_reply(machine, NULL, error);
    UDFVM_TRY(udfvm_image_map_holes(base, machine, error));
    UDFVM_TRY(share_reply(machine, base, error));
    UDFVM_TRY(udfvm_hot_set_create(&memory->hot, machine, error));
    memory->image = udfvm_image_retain(base);
    return UDFVM_OK;
}

void udfvm_memory_destroy(struct guest_memory *memory, bool forked)
{
    if (!memory->machine)
        return; /* it was not created */
    udfvm_hot_set_destroy(&memory->hot);
    if (!forked)
        udfvm_unlogged_abandon(memory);
    if (memory->pagemap >= 0)
        close(memory->pagemap);
    memory->pagemap = -1;
    udfvm_image_close(memory->image);
    memory->image = NULL;
}

int udfvm_memory_restore(struct guest_memory *memory, struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_span_end_inheritance(memory, error));
    /* First: the worker zeroes while pages are copied here. */
    UDFVM_TRY(udfvm_unlogged_scrub(memory, error));
    UDFVM_TRY(udfvm_hot_set_collect(memory, error));
    udfvm_span_end_call(memory);
    return udfvm_hot_set_restore(memory, error);
}

uint64_t udfvm_memory_written(const struct guest_memory *memory)
{
    return memory->hot.put_back * PAGE + udfvm_unlogged_found(memory);
}

static void put_layer_pages(const struct filling *filling, uint64_t first, uint64_t end)
{
    const struct udfvm_image *image = filling->image;
    for (uint64_t i = first; i < end; i++)
        udfvm_span_put_back(filling->memory->machine, image->numbers[i],
                            udfvm_image_page(image, image->numbers[i]), 1);
}

/* The first chunk is what takes the longest of what the others do not do: the hypervisor's answer,
 * and the huge page of the call page. */
static void fill_chunk(struct work *work, size_t index)
{
    const struct filling *filling = (const struct filling *)work;
    if (index == 0) {
        udfvm_hypervisor_ask();
        udfvm_span_touch_call_page(filling->memory);
        return;
    }
    const uint64_t first = filling->tried + (index - 1) * FILL_PAGES,
                   left = filling->image->header->page_count - first;
    put_layer_pages(filling, first, first + (left < FILL_PAGES ? left : FILL_PAGES));
}

void udfvm_memory_begin_filling(struct filling *filling, struct guest_memory *memory,
                                struct udfvm_image *image)
{
    const uint64_t pages = image->base ? image->header->page_count : 0;
    uint64_t tried = 0;
    while (tried < pages && image->numbers[tried] < TRIED_PAGES)
        tried++;
    *filling = (struct filling){
        .work = { .chunk = fill_chunk,
                  .chunks = 1 + (pages - tried + FILL_PAGES - 1) / FILL_PAGES },
        .memory = memory,
        .image = image,
        .tried = tried,
    };
    udfvm_work_offer(&filling->work);
}

void udfvm_memory_end_filling(struct filling *filling)
{
    struct udfvm_image *base = filling->memory->image;
    put_layer_pages(filling, 0, filling->tried);
    udfvm_work_finish(&filling->work);
    filling->memory->image = udfvm_image_retain(filling->image);
    udfvm_image_close(base);
}

/* Copies the pages in which `from` and `to`, images of one base, differ. */
static void move_pages(const struct machine *machine, const struct udfvm_image *from,
                       const struct udfvm_image *to)
{
    for (uint64_t i = 0; from->base && i < from->header->page_count; i++)
        udfvm_span_put_back(machine, from->numbers[i], udfvm_image_page(to, from->numbers[i]), 1);
    for (uint64_t i = 0; to->base && i < to->header->page_count; i++)
        udfvm_span_put_back(machine, to->numbers[i], udfvm_image_page(to, to->numbers[i]), 1);
}

void udfvm_memory_bind(struct guest_memory *memory, struct udfvm_image *image)
{
    struct udfvm_image *from = memory->image;
    move_pages(memory->machine, from, image);
    memory->image = udfvm_image_retain(image);
    udfvm_image_close(from);
    udfvm_hot_set_rebind(memory);
}

int udfvm_memory_drop_buffers(struct guest_memory *memory, struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_unlogged_drop(memory, error));
    return udfvm_span_drop_input(memory, error);
}

int udfvm_memory_shrink(struct guest_memory *memory, struct udfvm_error *error)
{
    memory->large = false;
    UDFVM_TRY(udfvm_memory_drop_buffers(memory, error));
    return udfvm_hot_set_shrink(memory, error);
}
