/* The memory of a VM that is called again and again: what a call may have changed in it, and
 * putting that back to what the image holds. */
#ifndef UDFVM_MEMORY_MEMORY_H
#define UDFVM_MEMORY_MEMORY_H

#include <stdbool.h>

#include "image/image.h"
#include "machine/machine.h"
#include "memory/hot_set.h"
#include "memory/span.h"
#include "memory/unlogged.h"

struct guest_memory {
    struct machine *machine;
    struct udfvm_image *image; /* what it is bound to; NULL: it was booted, and is never restored */
    struct hot_set hot;
    struct spans spans; /* what the host made writable */
    struct scrub scrub; /* of unlogged memory */
    int pagemap;        /* /proc/self/pagemap, while unlogged memory is open; -1: none */
    bool large;         /* there is more memory than the hot set needs, since it was shrunk last */
};

/* Of a machine that was created on the base image, or on none (NULL). */
int udfvm_memory_create(struct guest_memory *memory, struct machine *machine,
                        struct udfvm_image *base, struct udfvm_error *error);
/* Before the machine is destroyed. `forked`: in a forked child, which has not its mappings. */
void udfvm_memory_destroy(struct guest_memory *memory, bool forked);
/* Puts everything back that a call may have changed. */
int udfvm_memory_restore(struct guest_memory *memory, struct udfvm_error *error);
/* Bytes that the call which was put back last wrote at most. */
uint64_t udfvm_memory_written(const struct guest_memory *memory);
/* Memory of a new VM that is being made ready, by the worker too, while the hypervisor's VM is
 * created and tried: it gets the pages of a layer (or of none, where the image is the base). */
struct filling {
    struct work work;
    struct guest_memory *memory;
    struct udfvm_image *image;
    uint64_t tried; /* the first pages of the layer, which wait until that is over: TRIED_PAGES */
};
void udfvm_memory_begin_filling(struct filling *filling, struct guest_memory *memory,
                                struct udfvm_image *image);
/* Before the VM is used, or destroyed. */
void udfvm_memory_end_filling(struct filling *filling);
/* Moves restored memory to another image of the same base. */
void udfvm_memory_bind(struct guest_memory *memory, struct udfvm_image *image);
/* Gives back the memory of windows and scratch of a restored VM. */
int udfvm_memory_drop_buffers(struct guest_memory *memory, struct udfvm_error *error);
/* Gives back all beyond the hot set, of a restored VM: what calls with much memory left, zeroed.
 * The next call with much memory pays for it. */
int udfvm_memory_shrink(struct guest_memory *memory, struct udfvm_error *error);

#endif
