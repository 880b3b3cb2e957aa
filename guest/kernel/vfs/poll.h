/* Timeouts of the calls that wait for descriptors. */
#ifndef UDFVM_POLL_H
#define UDFVM_POLL_H

#include "vfs/file.h"

/* `milliseconds` is an int: a negative one means no deadline. */
uint64_t deadline_after_milliseconds(uint64_t milliseconds);
/* Reads a struct timespec (unit 1) or timeval (unit 1000 ns) from the program's memory. Address
 * 0 means no deadline. */
int64_t deadline_from_program(uint64_t address, uint64_t unit, uint64_t *deadline);

#endif
