/* Timeouts of the calls that wait for descriptors. */
#ifndef UDFVM_POLL_H
#define UDFVM_POLL_H

#include "vfs/file.h"

uint64_t deadline_after_milliseconds(uint64_t milliseconds); /* as an int: negative means none */
/* A struct timespec (unit 1) or timeval (unit 1000 ns) in the program's memory; none where the
 * address is 0. */
int64_t deadline_from_program(uint64_t address, uint64_t unit, uint64_t *deadline);

#endif
