/* Lengths and control flow of x86-64 instructions in 64-bit mode. Needs nothing of the kernel, so
 * that tests can run it on any machine. */
#ifndef UDFVM_INSTRUCTION_H
#define UDFVM_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_INSTRUCTION 15u

enum flow {
    FLOW_NEXT,     /* continues behind it; so do calls, which are assumed to return */
    FLOW_BRANCH,   /* continues behind it or at the target */
    FLOW_JUMP,     /* continues at the target */
    FLOW_INDIRECT, /* the target is not known */
    FLOW_END,      /* returns, or cannot continue */
};

struct instruction {
    uint8_t length;
    uint8_t flow;      /* enum flow */
    bool rip_relative; /* has an operand in memory that is addressed relative to RIP */
    bool is_call, is_syscall;
    int32_t displacement; /* of a branch, a jump or a direct call: from the end of the instruction
                             to its target */
};

/* Decodes the instruction at `code`, of which `available` bytes may be read. False where there is
 * none: an encoding that is reserved, that processors take differently, or that is cut off. Knows
 * every encoding of the opcode maps of the Intel SDM, volume 2, appendix A, of VEX, of EVEX without
 * APX, and of XOP (AMD APM, volume 6). */
bool instruction_decode(const uint8_t *code, size_t available, struct instruction *instruction);

/* Length of the run of no-operations (and int3) at `code`, at most `available` bytes. */
size_t instruction_padding(const uint8_t *code, size_t available);

#endif
