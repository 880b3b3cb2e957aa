/* Switching between this runtime and a program that it runs in its own process. Each has a C
 * library, so each has its own thread pointer (FS base). The program's functions run on top of the
 * frames of its main(), which never returns.
 *
 * Both share the first thread's stack, the only one with a guard that is mapped nowhere. The
 * runtime's frames lie at its top, then space for the runtime's further calls, then the program's
 * frames.
 */
#ifndef UDFVM_NATIVE_CONTEXT_SWITCH_H
#define UDFVM_NATIVE_CONTEXT_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#define CONTEXT_RUNTIME_STACK \
    (128u << 10) /* bytes of stack for the runtime, from context_start() on */

/* Jumps to a program's entry, with its initial stack, which lies CONTEXT_RUNTIME_STACK below the
 * caller's frame. Returns when the program calls context_serve(). */
void context_start(uint64_t entry, uint64_t stack);
/* For the program: returns to the caller of context_start(). The program's frames stay, for
 * context_call(). Never returns. */
void context_serve(void);
/* Calls body(argument) with the stack and thread pointer of the program, if there is one. */
void context_call(void (*body)(void *argument), void *argument);
bool context_has_program(void);

/* For functions of the runtime that the program calls, on any thread. The instructions exist
 * (FSGSBASE, Intel SDM volume 2): the guest kernel uses them, too. */
static inline uint64_t context_enter(void)
{
    extern uint64_t context_runtime_thread;
    uint64_t thread;
    __asm__ volatile("rdfsbase %0\n\twrfsbase %1"
                     : "=&r"(thread)
                     : "r"(context_runtime_thread)
                     : "memory");
    return thread;
}

static inline void context_leave(uint64_t thread)
{
    __asm__ volatile("wrfsbase %0" : : "r"(thread) : "memory");
}

#endif
