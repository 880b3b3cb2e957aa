/* Memory of a call besides program memory, for large blocks. */
#ifndef UDFVM_SCRATCH_H
#define UDFVM_SCRATCH_H

#include "kernel.h"

/* Returns an address for an anonymous mapping, accessible; 0 if it is not meant for scratch, or
 * does not fit. */
uint64_t scratch_find(uint64_t length, int protection, int flags);
bool scratch_holds(uint64_t address, uint64_t length);
uint64_t scratch_end(void);
/* Makes scratch and all of the output window accessible. */
bool scratch_open(void);
/* Opens scratch if a fault at the address, or a coming use of it, requires that. Returns true if it
 * is open then. */
bool scratch_open_for(uint64_t address);
void scratch_prepare_seal(void);

#endif
