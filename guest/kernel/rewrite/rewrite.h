/* System calls without traps: `syscall` instructions in the text of ELF objects are redirected to
 * the kernel's own entry. */
#ifndef UDFVM_REWRITE_H
#define UDFVM_REWRITE_H

#include "kernel.h"

/* Rewrites the text in [start, start + length), just mapped from a file that does not change. Sites
 * that cannot be proven safe stay. */
void rewrite_syscalls(uint64_t start, uint64_t length);

#endif
