/* What the files of the raw guest share: the windows, hypercalls, and what the entry saved. */
#ifndef RAW_PARTS_H
#define RAW_PARTS_H

#include <stdint.h>

#include "../../guest/include/udfvm_abi.h"
#include "raw_guest.h"

#define OUTPUT              ((volatile uint64_t *)UDFVM_OUTPUT_BASE)
#define ARGUMENTS           ((const volatile uint64_t *)UDFVM_INPUT_PAYLOAD)
#define SELECTOR_RING3_DATA 0x23ul
#define TRAP_FLAG           0x100ul
#define LENGTH(array)       (sizeof(array) / sizeof *(array))

/* The first word of the payload is the command; a command has the words behind it. */
typedef void raw_command(const volatile uint64_t *arguments);

/* Registers at the start of the call; the sealed XSAVE image; addresses of code. */
extern uint64_t saved_rsp, saved_r15, saved_r12, saved_xmm7, saved_flags;
extern uint64_t counter;
extern uint8_t xsave_area[12288];
extern uint64_t observed[16];
extern uint8_t observed_x87[28], observed_xsave[12288];
extern const char resume[], reached[], poison[];

static inline uint64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                 uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    __asm__ volatile("outb %%al, %[port]"
                     : "+a"(number)
                     : [port] "N"(UDFVM_PORT), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "memory");
    return number;
}

static inline void complete(uint64_t words)
{
    hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK, words * 8, 0, 0, 0, 0);
}

static inline void executed(void)
{
    OUTPUT[0] = RAW_EXECUTED;
    complete(1);
}

/* raw_ends.c: ends the call; from the next fault on, if it is to end so; whether that is so. */
void end(uint64_t how);
void end_after_the_next_fault(uint64_t how);
void end_after_fault(void);

/* raw_state.c */
raw_command report_state, dirty_state, observe;
/* raw_crafted.c */
raw_command craft_stack, craft_flags, craft_vectors;
/* raw_taint.c */
raw_command taint, search;
/* raw_stream.c */
raw_command stream;
/* raw_ticks.c */
raw_command ticks;
/* raw_disturb.c */
raw_command disturb;
void end_with_registers(uint64_t how, uint64_t mark); /* each that can have the mark has it */
/* raw_forbidden.c */
raw_command privileged, port, system_call, count_descriptors, use_selector, run_bytes;

/* Called by the entry. */
struct udfvm_seal_info *prepare_seal(void);
void report_fault(void);
void obey(void);

#endif
