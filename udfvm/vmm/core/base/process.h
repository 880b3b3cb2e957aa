/* The process: whether it was forked, and whether its user interrupts it. */
#ifndef UDFVM_BASE_PROCESS_H
#define UDFVM_BASE_PROCESS_H

#include <stdbool.h>

unsigned udfvm_fork_generation(void); /* changes in a forked child */
void udfvm_fork_generation_next(void);
bool udfvm_interrupted(void);        /* asks the hook of udfvm_set_interrupt_hook */
bool udfvm_may_be_interrupted(void); /* there is one */
/* That the process may use, as far as its first call saw. */
unsigned udfvm_processors(void);

#endif
