/* The raw guest's ways of ending a call, most of which a program should not take. */
#include "raw_parts.h"

#define FORBIDDEN_PORT 0x80

static uint8_t bytes[64];           /* what string instructions read and write */
static uint64_t ends_at_next_fault; /* enum raw_end + 1; 0: the fault is reported */

void end_after_the_next_fault(uint64_t how)
{
    ends_at_next_fault = how + 1;
}

void end_after_fault(void)
{
    const uint64_t how = ends_at_next_fault;
    ends_at_next_fault = 0;
    if (how)
        end(how - 1);
}

static void end_by_loop(void)
{
    for (;;)
        __asm__ volatile("pause");
}

static void end_by_crash(void)
{
    hypercall(UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_SIGNAL, 11, 0, 0, 0, 0);
}

static void end_by_wild(void)
{
    hypercall(77, 0, 0, 0, 0, 0, 0);
}

static void end_by_calls(void)
{
    for (;;) {
        uint64_t n = 1;
        __asm__ volatile("syscall" : "+a"(n) : : "rcx", "rdx", "r11", "memory");
    }
}

/* The single step would come after the OUT that ends the call. */
static void end_by_trap_flag(void)
{
    uint64_t number = UDFVM_HYPERCALL_COMPLETE;
    __asm__ volatile(
        "pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tmovl %k[segment], %%ss\n\toutb %%al, %[port]"
        : "+a"(number)
        : [port] "N"(UDFVM_PORT), [segment] "r"(SELECTOR_RING3_DATA), "D"(0), "S"(0));
}

static void end_by_shadow(void)
{
    uint64_t number = UDFVM_HYPERCALL_COMPLETE;
    __asm__ volatile("movl %k[segment], %%ss\n\toutb %%al, %[port]"
                     : "+a"(number)
                     : [port] "N"(UDFVM_PORT), [segment] "r"(SELECTOR_RING3_DATA), "D"(0), "S"(0));
}

static void end_by_faults(void)
{
    end_after_the_next_fault(RAW_END_FAULTS);
    for (;;)
        __asm__ volatile("ud2");
}

static void end_by_port(void)
{
    __asm__ volatile("outb %%al, %0" : : "N"(FORBIDDEN_PORT), "a"(0));
}

static void end_by_in(void)
{
    __asm__ volatile("inb %0, %%al" : : "N"(UDFVM_PORT) : "rax");
}

static void end_by_ins(void)
{
    uint64_t address = (uint64_t)bytes;
    __asm__ volatile("insb" : "+D"(address) : "d"(UDFVM_PORT) : "memory");
}

static void end_by_ins_forbidden(void)
{
    uint64_t address = (uint64_t)bytes;
    __asm__ volatile("insb" : "+D"(address) : "d"(FORBIDDEN_PORT) : "memory");
}

static void end_by_rep_ins(void)
{
    uint64_t address = (uint64_t)bytes;
    uint64_t count = 16;
    __asm__ volatile("rep insb" : "+D"(address), "+c"(count) : "d"(UDFVM_PORT) : "memory");
}

static void end_by_insl(void)
{
    uint64_t address = (uint64_t)bytes;
    __asm__ volatile("insl" : "+D"(address) : "d"(UDFVM_PORT) : "memory");
}

static void end_by_outs(void)
{
    uint64_t address = (uint64_t)bytes;
    __asm__ volatile("outsb" : "+S"(address) : "d"(UDFVM_PORT), "a"(99) : "memory");
}

static void end_by_rep_outs(void)
{
    uint64_t address = (uint64_t)bytes;
    uint64_t count = 16;
    __asm__ volatile("rep outsb"
                     : "+S"(address), "+c"(count)
                     : "d"(UDFVM_PORT), "a"(99)
                     : "memory");
}

static void end_by_outl(void)
{
    __asm__ volatile("outl %%eax, %0" : : "N"(UDFVM_PORT), "a"(UDFVM_HYPERCALL_COMPLETE));
}

static void (*const ends[RAW_ENDS])(void) = {
    [RAW_END_LOOP] = end_by_loop,
    [RAW_END_CRASH] = end_by_crash,
    [RAW_END_WILD] = end_by_wild,
    [RAW_END_CALLS] = end_by_calls,
    [RAW_END_TRAP_FLAG] = end_by_trap_flag,
    [RAW_END_SHADOW] = end_by_shadow,
    [RAW_END_FAULTS] = end_by_faults,
    [RAW_END_PORT] = end_by_port,
    [RAW_END_IN] = end_by_in,
    [RAW_END_INS] = end_by_ins,
    [RAW_END_INS_FORBIDDEN] = end_by_ins_forbidden,
    [RAW_END_REP_INS] = end_by_rep_ins,
    [RAW_END_INSL] = end_by_insl,
    [RAW_END_OUTS] = end_by_outs,
    [RAW_END_REP_OUTS] = end_by_rep_outs,
    [RAW_END_OUTL] = end_by_outl,
};

void end(uint64_t how)
{
    if (how < RAW_ENDS && ends[how])
        ends[how]();
    complete(0);
}
