/* See processor.h. */
#include "arch/processor.h"

static uint64_t size;

static void cpuid(uint32_t leaf, uint32_t registers[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]),
                       "=d"(registers[3])
                     : "a"(leaf), "c"(0));
}

uint64_t xsave_size(void)
{
    if (!size) {
        uint32_t registers[4];
        cpuid(0xd, registers);
        size = registers[1];
    }
    return size;
}

uint64_t xsave_components(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t processor_features(void)
{
    uint32_t registers[4];
    cpuid(1, registers);
    return registers[3];
}

void xsave(void *area)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
}

void xrstor(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
}

uint64_t get_fs_base(void)
{
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

uint64_t get_gs_base(void)
{
    uint64_t base;
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

void set_fs_base(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}

void set_gs_base(uint64_t base)
{
    __asm__ volatile("wrgsbase %0" : : "r"(base));
}
