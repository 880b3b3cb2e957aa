/* The reserve: guest virtual memory, larger than program memory, whose pages are mapped to pages of
 * program memory ("frames") when the guest asks for it. See reserve.c. */
#ifndef UDFVM_MACHINE_RESERVE_H
#define UDFVM_MACHINE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "udfvm_abi.h"

#include "base/pages.h"

struct machine;
struct udfvm_error;

#define RESERVE_GIBIBYTES ((UDFVM_RESERVE_END - UDFVM_RESERVE_BASE) >> 30)
#define GIBIBYTE          (1ull << 30)
#define TABLE_ENTRIES     512u
#define RESERVE_FRAME     0x000ffffffffff000ull /* of an entry */

/* Neighbours in virtual memory that are neighbours in program memory, too. Part of the image
 * format. */
struct reserve_run {
    uint64_t virtual, frame, pages;
    uint64_t access; /* UDFVM_MAP_x, but not _NOTHING */
};

/* The tables lie in a pool. Once used, a table stays where it is until the VM is renewed. */
struct reserve {
    uint64_t *tables;   /* what the processor reads; NULL: no page was ever mapped */
    uint64_t *expected; /* the same, as it is between calls; the host's alone */
    uint64_t physical;  /* address of the pool */
    uint32_t count, capacity;
    uint32_t directories[RESERVE_GIBIBYTES]; /* one more than the index of a GiB's; 0: none */
    bool changed;                            /* since the last restore */
    bool read_only; /* memory of the VM, also for the host: it must not be used any more */
    bool spent;     /* too few tables are left, or something is wrong: a new VM is needed */
};

/* Maps pages to frames, or takes them away. 0 or a negative errno for the guest; -EIO with `error`
 * if the VM must not go on. */
int64_t udfvm_reserve_map(struct machine *machine, uint64_t virtual, uint64_t frame, uint64_t pages,
                          uint64_t access, struct udfvm_error *error);
/* Makes the pool, if there is none. */
int udfvm_reserve_open(struct machine *machine, struct udfvm_error *error);
/* What is mapped between calls: as these runs say, from now on. The VM does not run. */
int udfvm_reserve_bind(struct machine *machine, const struct reserve_run *runs, uint64_t count,
                       struct udfvm_error *error);
/* Puts back what a call changed. */
int udfvm_reserve_restore(struct machine *machine, struct udfvm_error *error);
/* For a VM that is made anew on the same memory: nothing is mapped. */
int udfvm_reserve_renew(struct machine *machine, struct udfvm_error *error);
/* The processor's tables are those that the host wrote. */
bool udfvm_reserve_is_expected(const struct machine *machine);
void udfvm_reserve_destroy(struct machine *machine);
/* The table of pages with the entry of an address; one more than its index, 0 where there is none.
 */
uint32_t udfvm_reserve_find(const struct machine *machine, uint64_t virtual);
/* Visits all tables of pages, until one visit says false. */
typedef bool reserve_visit(struct machine *machine, uint64_t virtual, uint32_t index,
                           void *context);
bool udfvm_reserve_each(struct machine *machine, reserve_visit *visit, void *context);

/* ---- reserve_runs.c ---- */

/* How many tables a VM with so much memory has. */
uint32_t udfvm_reserve_capacity(uint64_t memory_end);
/* Whether pages lie in a range; whether they may be mapped as frames: the guard below the stack
 * stays what it is, by any address. */
bool udfvm_reserve_has_pages(uint64_t address, uint64_t pages, uint64_t start, uint64_t end);
bool udfvm_reserve_has_frames(uint64_t memory_end, uint64_t frame, uint64_t pages);

/* All that is mapped, as runs in memory of malloc(3); false: there is no memory for them. */
bool udfvm_reserve_runs(struct machine *machine, struct reserve_run **runs, uint64_t *count);
/* Whether a VM with so much memory can have these runs. */
bool udfvm_reserve_runs_valid(uint64_t memory_end, const struct reserve_run *runs, uint64_t count);
/* Where an address of the reserve is in this process, and how many of `length` bytes lie there in
 * one piece; NULL if nothing is mapped there. */
const uint8_t *udfvm_reserve_address(const struct machine *machine, uint64_t address,
                                     uint64_t *length);

static inline uint64_t *udfvm_reserve_pick(uint64_t *pool, uint32_t index)
{
    return pool + (uint64_t)index * TABLE_ENTRIES;
}

#endif
