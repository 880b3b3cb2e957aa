/* What the program calls without a system call (entry.S has the vectors), and what a seal reports.
 * Inside the kernel only. */
#ifndef UDFVM_SEAL_H
#define UDFVM_SEAL_H

#include "kernel.h"

void seal(void);
void complete(uint64_t status, uint64_t length);
void row(void);
uint64_t system_calls_served(void);
uint64_t system_calls_trapped(void); /* of these, by a trap */

#endif
