/* Entry points of entry.S: ways back to the program, and the switch between kernel stacks. */
#ifndef UDFVM_ENTRY_H
#define UDFVM_ENTRY_H

#include "kernel.h"

noreturn void enter_program(void); /* continues the current thread with all of its registers */
/* Its last instruction, which faults if the program cannot be where it is to go on. */
extern const char program_entry[];
void switch_stacks(uint64_t *save_rsp, uint64_t load_rsp);
void start_thread(void); /* a new thread's kernel stack begins with this return address */
void direct_syscall_entry(
    void); /* trampolines that replace a `syscall` jump here; not callable from C */

#endif
