/* The information for the host about a seal. */
#ifndef UDFVM_SEAL_INFO_H
#define UDFVM_SEAL_INFO_H

#include "kernel.h"

extern struct udfvm_seal_info seal_info;

/* Notes a system call that is answered with ENOSYS, for the build report. */
void count_unknown(uint64_t number);

#endif
