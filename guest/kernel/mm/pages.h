/* The pages of program memory and scratch that may hold something other than zeros. */
#ifndef UDFVM_PAGES_H
#define UDFVM_PAGES_H

#include "kernel.h"

void pages_init(uint64_t *bitmap, uint64_t start);
/* Makes [start, end) zero; afterwards the pages count as used if the program can now write to them.
 */
void pages_hand_out(uint64_t start, uint64_t end, bool accessible);
void pages_mark_used(uint64_t start, uint64_t end);
void pages_zero(uint64_t start, uint64_t end); /* contents only: they stay in use */
bool page_is_used(uint64_t address);
/* Moves contents between two ranges that are both handed out; they may not overlap. */
void pages_copy(uint64_t to, uint64_t from, uint64_t length);

#endif
