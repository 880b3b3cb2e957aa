/* Memory of the call beside program memory, for large blocks. */
#ifndef UDFVM_SCRATCH_H
#define UDFVM_SCRATCH_H

#include "kernel.h"

/* Address for an anonymous mapping, accessible; 0: not for this one, or no space. */
uint64_t scratch_find(uint64_t length, int protection, int flags);
bool scratch_holds(uint64_t address, uint64_t length);
uint64_t scratch_end(void);
/* Makes scratch and all of the output window accessible. */
bool scratch_open(void);
/* Whether a fault at the address, or a use of it to come, is reason to open: then it is done. */
bool scratch_open_for(uint64_t address);
void scratch_prepare_seal(void);

#endif
