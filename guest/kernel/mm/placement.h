/* Where mappings go. */
#ifndef UDFVM_PLACEMENT_H
#define UDFVM_PLACEMENT_H

#include "kernel.h"

/* Whether a range lies in program memory; or there, in the reserve or in scratch. */
bool in_program_memory(uint64_t address, uint64_t length);
bool in_memory(uint64_t address, uint64_t length);
/* Addresses for mappings of MAP_ flags, 0 where there is none: in program memory; in scratch too.
 */
uint64_t place_mapping(uint64_t hint, uint64_t length, int flags);
uint64_t place_anonymous(uint64_t hint, uint64_t length, int protection, int flags);
/* Clears the way for a mapping at a fixed address. 0 or negative errno. */
int64_t clear_fixed(uint64_t address, uint64_t length, int flags);
/* Whether a reservation of address space would take too much of program memory. */
bool belongs_in_reserve(uint64_t length, int protection, int flags);
/* Mappings in scratch count against the VM's memory, even if program memory has space. Returns true
 * if `length` more bytes would be too much. */
bool memory_over_limit(uint64_t length);

#endif
