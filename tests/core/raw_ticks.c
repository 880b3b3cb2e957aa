/* A program that asks to be interrupted, in whichever state it is. */
#include <stddef.h>

#include "raw_parts.h"

#define FLAGS 0x244402ul /* ID AC NT DF */

extern const uint8_t tick_loop[], tick_loop_end[];
uint64_t interruptions, interrupted_rax, interrupted_rip; /* raw_entry.S */

_Static_assert(offsetof(struct udfvm_call, interrupted_rip) == 136 &&
                   offsetof(struct udfvm_call, interrupted_rflags) == 144,
               "where raw_entry.S reads them");

/* Prepares the state, and is undone by nobody: the call ends with the reply. */
static void prepare(uint64_t kind)
{
    if (kind == RAW_TICK_FLAGS)
        __asm__ volatile("pushq %0\n\tpopfq" : : "r"(FLAGS) : "cc", "memory");
    if (kind == RAW_TICK_SEGMENTS)
        __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs"
                         :
                         : "r"(0));
}

void ticks(const volatile uint64_t *arguments)
{
    uint8_t *code = (uint8_t *)UDFVM_PROGRAM_BASE;
    uint64_t due = arguments[1], turns = arguments[4];
    const uint64_t step = arguments[2], most = arguments[3];
    for (const uint8_t *byte = tick_loop; byte < tick_loop_end; byte++)
        code[byte - tick_loop] = *byte;
    prepare(arguments[0]);
    register uint64_t stack __asm__("r9") = arguments[0] == RAW_TICK_NO_STACK ? 8 : 0;
    register uint64_t limit __asm__("r8") = most;
    __asm__ volatile("movq %%rsp, %%r10\n\t"
                     "testq %%r9, %%r9\n\t"
                     "cmovnzq %%r9, %%rsp\n\t" /* `ret` faults, if no interruption did */
                     "callq *%[code]\n\t"
                     "movq %%r10, %%rsp\n\tcld"
                     : "+S"(due), "+c"(turns)
                     : "D"(UDFVM_TIMER), "d"(step), "r"(limit), "r"(stack), [code] "r"(code)
                     : "r10", "r11", "rax", "cc", "memory");
    OUTPUT[0] = interruptions;
    complete(1);
}
