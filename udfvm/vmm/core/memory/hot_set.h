/* The hot set: the pages of the logged slot that are copied back after every call. */
#ifndef UDFVM_MEMORY_HOT_SET_H
#define UDFVM_MEMORY_HOT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory;
struct machine;
struct udfvm_error;

struct hot_page {
    uint32_t number;
    uint32_t idle;           /* samples since the guest wrote it last */
    uint32_t patience;       /* so many, and it cools */
    const uint8_t *pristine; /* NULL: zeros (output window) */
};
struct hot_set {
    uint64_t *dirty; /* bitmap as the hypervisor returns it */
    uint64_t *bits;  /* members */
    uint64_t *cold;  /* pages that left the set and are memory of the VM's own still */
    size_t cold_count;
    size_t words; /* of each bitmap */
    struct hot_page *pages;
    size_t count, capacity;
    bool sorted; /* `pages`, by number */
    uint64_t restores, pages_copied;
    uint64_t put_back; /* pages, by the last restore */
};
int udfvm_hot_set_create(struct hot_set *set, const struct machine *machine,
                         struct udfvm_error *error);
void udfvm_hot_set_destroy(struct hot_set *set);
bool udfvm_hot_set_has(const struct hot_set *set, uint64_t number);
/* The pages of [offset, offset + length) in the logged slot join. What lies past the slot is not
 * for the hot set, and ignored. */
int udfvm_hot_set_add(struct guest_memory *memory, uint64_t offset, uint64_t length);
/* Pages that the guest wrote join. */
int udfvm_hot_set_collect(struct guest_memory *memory, struct udfvm_error *error);
/* Copies all of them back. */
int udfvm_hot_set_restore(struct guest_memory *memory, struct udfvm_error *error);
/* The memory is bound to another image: pristine pages are that one's. */
void udfvm_hot_set_rebind(struct guest_memory *memory);
/* Gives back the memory of a large set, and of pages that calls stopped writing. */
int udfvm_hot_set_shrink(struct guest_memory *memory, struct udfvm_error *error);

#endif
