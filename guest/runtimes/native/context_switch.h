/* Between this runtime and a program that it runs in its own process. Each has a C library, so each
 * has a thread pointer (FS base) of its own; and the program's functions run on top of the frames
 * of its main(), which never returns.
 *
 * They share the first thread's stack, because that alone has a guard that is mapped nowhere: the
 * runtime's frames lie at its top, then room for what the runtime has yet to do, then the program's
 * frames. */
#ifndef UDFVM_NATIVE_CONTEXT_SWITCH_H
#define UDFVM_NATIVE_CONTEXT_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#define CONTEXT_RUNTIME_STACK \
    (128u << 10) /* bytes of stack for the runtime, from context_start() on */

/* Jumps to a program's entry, with its initial stack, which lies CONTEXT_RUNTIME_STACK below the
 * caller's frame. Returns once the program called context_serve(). */
void context_start(uint64_t entry, uint64_t stack);
/* For the program: goes back to where context_start() was called. Its own frames stay, for
 * context_call(). Never returns. */
void context_serve(void);
/* body(argument), with the stack and the thread pointer of the program, if there is one. */
void context_call(void (*body)(void *argument), void *argument);
bool context_has_program(void);

/* Around what the program calls in the runtime, on whatever thread. The instructions are there
 * (FSGSBASE): the guest kernel uses them too. */
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
