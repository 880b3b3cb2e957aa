/* The dispatcher of system calls. */
#ifndef UDFVM_DISPATCH_H
#define UDFVM_DISPATCH_H

#include "kernel.h"

/* Fills the table from what SYSTEM_CALL() defined in all files. */
void system_calls_init(void);
uint64_t system_calls_served(void);
uint64_t system_calls_trapped(void); /* of these, by a trap */

#endif
