/* What the files of futex(2) share. */
#ifndef UDFVM_FUTEX_H
#define UDFVM_FUTEX_H

#include "kernel.h"

/* futex_owner.c: locks whose word has the owner's number. 0 or a negative errno. */
int64_t futex_lock(uint64_t address, bool wait, uint64_t deadline);
int64_t futex_unlock(uint64_t address);
/* The current thread ends: those who wait for its locks get them. */
void futex_owner_ended(void);

#endif
