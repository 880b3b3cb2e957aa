/* The heap of brk(2). */
#ifndef UDFVM_HEAP_H
#define UDFVM_HEAP_H

#include "kernel.h"

/* Where the program's heap begins; it may grow to a quarter of program memory. Mappings are placed
 * behind that, while there is space. */
void heap_set(uint64_t address);
/* Begins another heap, below the first, which stays as it is from now on. 0 or negative errno. */
int64_t heap_begin_other(uint64_t address);
/* As brk(2), without the C library's wrapping: the end of the heap, which is the wanted one or,
 * refused, the old one. */
int64_t heap_break(uint64_t address);
uint64_t mappings_start(void);

#endif
