/* Exits that end the program. */
#ifndef UDFVM_EXIT_H
#define UDFVM_EXIT_H

#include "kernel.h"

/* Sends pending output and ends the call. Never returns. `reason` is UDFVM_EXIT_x. */
noreturn void host_exit(uint64_t reason, uint64_t code, const struct udfvm_crash *crash);
/* Ends the call because the kernel cannot continue. */
noreturn void kernel_panic(const char *text);

#endif
