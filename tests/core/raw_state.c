/* What the raw guest tells of the state that ring 3 sees, and what changes all of it. */
#include "raw_parts.h"

uint64_t saved_rsp, saved_r15, saved_r12, saved_xmm7, saved_flags;
uint64_t observed[16];
uint8_t observed_x87[28];
uint8_t observed_xsave[12288] __attribute__((aligned(64)));

#define SELECTORS 6

static void report_selectors(volatile uint64_t *to)
{
    uint32_t values[SELECTORS];
    __asm__("movl %%ds, %0" : "=r"(values[0]));
    __asm__("movl %%es, %0" : "=r"(values[1]));
    __asm__("movl %%fs, %0" : "=r"(values[2]));
    __asm__("movl %%gs, %0" : "=r"(values[3]));
    __asm__("movl %%cs, %0" : "=r"(values[4]));
    __asm__("movl %%ss, %0" : "=r"(values[5]));
    for (int i = 0; i < SELECTORS; i++)
        to[i] = values[i];
}

void report_state(const volatile uint64_t *arguments)
{
    (void)arguments;
    uint64_t fs, gs;
    uint32_t mxcsr;
    __asm__("rdfsbase %0" : "=r"(fs));
    __asm__("rdgsbase %0" : "=r"(gs));
    __asm__("stmxcsr %0" : "=m"(mxcsr));
    const uint64_t state[] = {
        fs,          gs,          saved_r15, saved_r12, saved_rsp,
        saved_xmm7,  saved_flags, mxcsr,     counter,   *(volatile uint64_t *)UDFVM_PROGRAM_BASE,
        OUTPUT[8192]
    };
    const uint64_t words = LENGTH(state);
    for (uint64_t i = 0; i < words; i++)
        OUTPUT[i] = state[i];
    report_selectors(OUTPUT + words);
    complete(words + SELECTORS);
}

/* Changes everything that ring 3 can change. */
void dirty_state(const volatile uint64_t *arguments)
{
    (void)arguments;
    const uint64_t mark = 0xd1d1d1d1;
    const uint32_t mxcsr = 0x9fc0;
    uint32_t stack_segment;
    __asm__("movl %%ss, %0" : "=r"(stack_segment));
    counter = mark;
    *(volatile uint64_t *)UDFVM_PROGRAM_BASE = mark;
    OUTPUT[8192] = mark;
    *(volatile uint64_t *)UDFVM_TRAP_BASE = mark;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile(
        "wrfsbase %0\n\twrgsbase %0\n\tmovq %0, %%xmm7\n\tmovq %0, %%r15\n\tmovq %0, %%r12"
        :
        : "r"(mark)
        : "xmm7", "r15", "r12");
    __asm__ volatile(
        "movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs\n\tfldpi\n\tstd"
        :
        : "r"(stack_segment));
    complete(0);
}

void observe(const volatile uint64_t *arguments)
{
    (void)arguments;
    volatile uint8_t *reply = (volatile uint8_t *)OUTPUT;
    struct {
        const void *from;
        uint64_t length;
    } parts[] = {
        { observed, sizeof observed },
        { &saved_rsp, 8 },
        { &saved_r15, 8 },
        { &saved_r12, 8 },
        { &saved_flags, 8 },
        { observed_x87, sizeof observed_x87 },
        { (void *)UDFVM_TRAP_BASE, UDFVM_STREAM_REPLY - UDFVM_TRAP_BASE },
        { observed_xsave, sizeof observed_xsave },
    };
    uint64_t bases[2], length = 0;
    __asm__("rdfsbase %0" : "=r"(bases[0]));
    __asm__("rdgsbase %0" : "=r"(bases[1]));
    for (uint64_t i = 0; i < LENGTH(parts); i++)
        for (uint64_t byte = 0; byte < parts[i].length; byte++)
            reply[length++] = ((const volatile uint8_t *)parts[i].from)[byte];
    for (; length % 8; length++)
        reply[length] = 0;
    OUTPUT[length / 8] = bases[0], length += 8;
    OUTPUT[length / 8] = bases[1], length += 8;
    report_selectors(OUTPUT + length / 8);
    complete(length / 8 + SELECTORS);
}
