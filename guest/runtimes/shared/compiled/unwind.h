/* From a frame to its caller's, in whatever object: those that the C library of this program does
 * not know too. */
#ifndef UDFVM_COMPILED_UNWIND_H
#define UDFVM_COMPILED_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

/* DWARF numbers of registers: System V ABI for x86-64, figure 3.36. */
enum {
    UNWIND_RAX,
    UNWIND_RDX,
    UNWIND_RCX,
    UNWIND_RBX,
    UNWIND_RSI,
    UNWIND_RDI,
    UNWIND_RBP,
    UNWIND_RSP,
    UNWIND_R8,
    UNWIND_RIP = 16,
    UNWIND_REGISTERS
};

struct unwind_frame {
    uint64_t registers[UNWIND_REGISTERS];
    bool exact; /* RIP is an instruction, not a return address */
};

/* Moves to the caller. false where there is none, or it cannot be told. After objects_read(). */
bool unwind_step(struct unwind_frame *frame);

#endif
