/* States that the raw guest makes up: stacks that lie anywhere when ring 0 is entered, and vector
 * state that no program would have saved. */
#include "raw_parts.h"

static uint8_t area[12288] __attribute__((aligned(64)));

/* ---- Stacks ---- */

static void enter_by_call(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tsyscall\n\tud2" : : "r"(stack), "a"(1) : "memory");
}

static void enter_by_fault(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tud2" : : "r"(stack) : "memory");
}

static void enter_by_breakpoint(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tint3\n\tud2" : : "r"(stack) : "memory");
}

static void enter_by_push(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tpushq %0\n\tud2" : : "r"(stack) : "memory");
}

static void return_by_iret(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tiretq" : : "r"(stack) : "memory");
}

static void return_far(uint64_t stack)
{
    __asm__ volatile("movq %0, %%rsp\n\tlretq" : : "r"(stack) : "memory");
}

static void enter_by_step(uint64_t stack)
{
    __asm__ volatile("pushq $0x102\n\tmovq %%rsp, %%rax\n\tmovq %0, %%rcx\n\tpopfq\n\t"
                     "movq %%rcx, %%rsp\n\tsyscall\n\tud2"
                     :
                     : "r"(stack)
                     : "rax", "rcx", "memory");
}

static void (*const entries[RAW_ENTRIES])(uint64_t stack) = {
    [RAW_BY_CALL] = enter_by_call,
    [RAW_BY_FAULT] = enter_by_fault,
    [RAW_BY_BREAKPOINT] = enter_by_breakpoint,
    [RAW_BY_PUSH] = enter_by_push,
    [RAW_BY_IRET] = return_by_iret,
    [RAW_BY_FAR_RETURN] = return_far,
    [RAW_BY_STEP] = enter_by_step,
};

void craft_stack(const volatile uint64_t *arguments)
{
    if (arguments[0] < RAW_ENTRIES)
        entries[arguments[0]](arguments[1]);
    executed();
}

/* ---- Flags ---- */

/* All of them as they are asked for; then a call, a fault or the end. */
void craft_flags(const volatile uint64_t *arguments)
{
    const uint64_t flags = arguments[0], number = 1;
    if (arguments[1] == 0)
        __asm__ volatile("pushq %0\n\tpopfq\n\tsyscall"
                         :
                         : "r"(flags), "a"(number)
                         : "rcx", "rdx", "r11", "memory", "cc");
    else if (arguments[1] == 1)
        __asm__ volatile("pushq %0\n\tpopfq\n\tud2" : : "r"(flags) : "memory", "cc");
    else
        __asm__ volatile("pushq %0\n\tpopfq" : : "r"(flags) : "memory", "cc");
    executed();
}

/* ---- Vector state ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Any bytes; where the host asks for it with a header and an MXCSR that a processor accepts. */
static void fill_area(uint64_t seed, uint64_t legal)
{
    uint64_t *words = (uint64_t *)area, state = seed | 1;
    for (uint64_t i = 0; i < sizeof area / 8; i++)
        words[i] = next_random(&state);
    if (legal & 1) {
        words[64] &= 0xe7; /* XSTATE_BV */
        for (int i = 65; i < 72; i++)
            words[i] = 0;
    }
    if (legal & 2)
        *(uint32_t *)(area + 24) &= 0xffbf; /* MXCSR; bit 6 makes denormals zeros */
    if (legal & 4)
        words[65] = 1ull << 63; /* the compacted format */
}

static void load_area(uint64_t how)
{
    switch (how) {
    case RAW_XRSTOR:
        __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
        break;
    case RAW_FXRSTOR:
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
        break;
    case RAW_LDMXCSR:
        __asm__ volatile("ldmxcsr (%0)" : : "r"(area) : "memory");
        break;
    case RAW_FLDENV:
        __asm__ volatile("fldenv (%0)" : : "r"(area) : "memory");
        break;
    case RAW_FRSTOR:
        __asm__ volatile("frstor (%0)" : : "r"(area) : "memory");
        break;
    case RAW_XSAVE_ANYWHERE: /* where ring 3 can only read */
        __asm__ volatile("xsave64 (%0)" : : "r"(UDFVM_INPUT_PAYLOAD), "a"(-1), "d"(-1) : "memory");
        break;
    default:
        __asm__ volatile("xsave64 (%0)\n\txrstor64 (%0)"
                         :
                         : "r"(area), "a"(-1), "d"(-1)
                         : "memory");
    }
}

/* Exceptions of x87 and SSE may be unmasked now: these raise them. */
void craft_vectors(const volatile uint64_t *arguments)
{
    const uint64_t how = arguments[0], seed = arguments[1], legal = arguments[2];
    const double zero = 0;
    fill_area(seed, legal);
    load_area(how);
    __asm__ volatile("fld1\n\tfdivl %0\n\tfwait" : : "m"(zero) : "memory");
    __asm__ volatile("xorps %%xmm0, %%xmm0\n\tdivps %%xmm0, %%xmm0" : : : "memory");
    executed();
}
