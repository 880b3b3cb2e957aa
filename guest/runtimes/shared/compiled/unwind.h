/* Steps from a frame to its caller's, in any object, including those that this program's C library
 * does not know. */
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

/* Moves to the caller. Returns false if there is none, or it is not known. Call objects_read()
 * first. */
bool unwind_step(struct unwind_frame *frame);

#endif
