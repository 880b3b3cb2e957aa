/* Unlogged memory: the output window past its logged part, and scratch. */
#ifndef UDFVM_MEMORY_UNLOGGED_H
#define UDFVM_MEMORY_UNLOGGED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "udfvm_abi.h"

#include "base/pages.h"
#include "base/worker.h"

struct guest_memory;
struct udfvm_error;

#define MAX_EXTENTS 64
struct scrub { /* what is being zeroed */
    struct work work;
    struct extent {
        const uint8_t *from, *to;
    } extents[MAX_EXTENTS];
    size_t count;
    atomic_bool written; /* any of it was not zero */
    bool pending;
    uint64_t zeroed; /* bytes that had no room among the extents */
    uint64_t joined[UDFVM_MAX_WINDOW / HUGE_PAGE / 64]; /* of a shared window: see join_pages */
};
/* Makes it accessible to the guest, from now on. Does nothing where there is none. */
int udfvm_unlogged_open(struct guest_memory *memory, struct udfvm_error *error);
/* Zeroes all that the guest may have written: at once, or begins to, where that is much. */
int udfvm_unlogged_scrub(struct guest_memory *memory, struct udfvm_error *error);
/* Bytes that calls may have written there before the last scrub; 0 where that cannot be told. */
uint64_t udfvm_unlogged_found(const struct guest_memory *memory);
/* Waits for that: must be called before the guest runs again. On failure the VM must be restored
 * again, or closed. */
int udfvm_unlogged_settle(struct guest_memory *memory, struct udfvm_error *error);
/* Stops that, because the memory goes. */
void udfvm_unlogged_abandon(struct guest_memory *memory);
/* Gives the memory back, of a VM that is restored. On failure the VM must be restored again, or
 * closed. */
int udfvm_unlogged_drop(struct guest_memory *memory, struct udfvm_error *error);

#endif
