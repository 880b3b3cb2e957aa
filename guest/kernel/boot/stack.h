/* The initial stack of a program: System V ABI, 3.4.1. */
#ifndef UDFVM_STACK_H
#define UDFVM_STACK_H

#include "boot/elf.h"
#include "vfs/vfs.h"

/* Writes the stack below `top`. Returns the stack pointer; 0 if the strings are too long. */
uint64_t build_stack(uint64_t top, const struct program_start *program,
                     const struct loaded_elf *image, const struct loaded_elf *interpreter);

#endif
