/* Checks of addresses that the program passes. */
#ifndef UDFVM_USER_H
#define UDFVM_USER_H

#include "kernel.h"

/* Returns true if [address, address + length) is program memory or lies in a window. Accesses can
 * harm only the program. If one faults, the running system call ends with -EFAULT. */
bool user_range_ok(uint64_t address, uint64_t length);
/* The same, and nothing is prepared for an access. */
bool user_range_exists(uint64_t address, uint64_t length);
/* Whether something is mapped there that the program may access, by its own protections. */
bool user_may_access(uint64_t address);
/* Length of the NUL-terminated string at a program's address, or -EFAULT, or -ENAMETOOLONG where no
 * NUL is in `limit` bytes. */
int64_t user_string_length(uint64_t address, size_t limit);

#endif
