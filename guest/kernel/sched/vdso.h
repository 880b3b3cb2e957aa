/* Clock functions that the program calls without a system call. */
#ifndef UDFVM_VDSO_H
#define UDFVM_VDSO_H

#include "kernel.h"

uint64_t vdso_address(void); /* AT_SYSINFO_EHDR */

#endif
