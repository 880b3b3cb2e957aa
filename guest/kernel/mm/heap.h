/* The heap of brk(2). */
#ifndef UDFVM_HEAP_H
#define UDFVM_HEAP_H

#include "kernel.h"

/* Sets the start of the program's heap. It may grow to a quarter of program memory. Mappings are
 * placed behind that, while there is space. */
void heap_set(uint64_t address);
/* Begins another heap below the first, which no longer changes. Returns 0 or a negative errno. */
int64_t heap_begin_other(uint64_t address);
/* Does what the brk(2) system call does. Returns the end of the heap: the wanted one or, if
 * refused, the old one. */
int64_t heap_break(uint64_t address);
uint64_t mappings_start(void);

#endif
