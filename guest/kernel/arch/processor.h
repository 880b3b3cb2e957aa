/* Vector state and segment bases, through the instructions that ring 3 may use. */
#ifndef UDFVM_PROCESSOR_H
#define UDFVM_PROCESSOR_H

#include "kernel.h"

#define ADDRESS_LIMIT \
    (1ull << 47) /* addresses below are canonical: loading them into FS base does not fault */
#define RFLAGS_AT_START 0x202u /* interrupts on; the bit that is always set */

static inline uint64_t time_stamp(void)
{
    return __builtin_ia32_rdtsc();
}

/* CPUID leaf 0xD: bytes of a standard-format XSAVE image of all that XCR0 enables. */
uint64_t xsave_size(void);
uint64_t xsave_components(void);   /* XCR0 */
uint32_t processor_features(void); /* CPUID leaf 1, EDX: AT_HWCAP */
void xsave(void *area);            /* aligned to 64 bytes */
void xrstor(const void *area);
uint64_t get_fs_base(void);
uint64_t get_gs_base(void);
void set_fs_base(uint64_t base);
void set_gs_base(uint64_t base);

#endif
