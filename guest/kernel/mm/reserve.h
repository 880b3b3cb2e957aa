/* The reserve: address space that takes no memory until it becomes accessible. */
#ifndef UDFVM_RESERVE_H
#define UDFVM_RESERVE_H

#include "kernel.h"

#define RESERVE_BYTES (UDFVM_RESERVE_END - UDFVM_RESERVE_BASE)

bool in_reserve(uint64_t address, uint64_t length);
/* An address for a mapping of so many bytes; 0 where there is none. */
uint64_t reserve_place(uint64_t length);
/* Makes mapped regions accessible as PROT_ bits say, with frames where they have none, or
 * inaccessible. 0 or negative errno: then some may have frames, and no more access than before. */
int64_t reserve_give(uint64_t start, uint64_t end, int protection);
/* Gives frames to what a program uses of lazy regions: about an address that it may access, or a
 * range. False: nothing was there to give, or there is no memory. */
bool reserve_fill(uint64_t address, bool writing);
void reserve_fill_range(uint64_t start, uint64_t end);
/* Takes the frames of regions away, which are then as at first. */
void reserve_release(uint64_t start, uint64_t end);
/* Moves frames between two ranges that regions of the same kind map; `to` has none. */
int64_t reserve_move(uint64_t to, uint64_t from, uint64_t length);
void reserve_zero(uint64_t start, uint64_t end); /* contents only */
bool reserve_page_is_used(uint64_t address);
/* Whether an access to the address needs no signal: it can be repeated. */
bool reserve_permits(uint64_t address, bool writing);

#endif
