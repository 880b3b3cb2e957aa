/* The ends that no program survives. */
#ifndef UDFVM_EXIT_H
#define UDFVM_EXIT_H

#include "kernel.h"

/* Sends what is pending of the log and leaves for good. `reason`: UDFVM_EXIT_x. */
noreturn void host_exit(uint64_t reason, uint64_t code, const struct udfvm_crash *crash);
/* The kernel gives up. */
noreturn void kernel_panic(const char *text);

#endif
