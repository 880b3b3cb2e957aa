/* Entry points of the raw guest: a kernel that obeys the host's test program and nothing else. */
#include "../../guest/include/udfvm_abi.h"

#define INTERRUPTED_RIP    136 /* in struct udfvm_call */
#define INTERRUPTED_RFLAGS 144

        .section .vectors, "ax"
        .globl  vectors
vectors:
        jmp     boot
        .org    UDFVM_VECTOR_SYSCALL - UDFVM_KERNEL_BASE
        jmp     from_syscall
        .org    UDFVM_VECTOR_FAULT - UDFVM_KERNEL_BASE
        jmp     from_fault
        .org    UDFVM_VECTOR_INTERRUPT - UDFVM_KERNEL_BASE
        jmp     from_interrupt

        .text
/* Seals with recognisable registers; each call continues at `resume`. */
boot:
        leaq    xsave_area(%rip), %rdi
        movl    $-1, %eax
        movl    $-1, %edx
        xsave64 (%rdi)
        call    prepare_seal
        movq    %rax, %rdi
        movl    $UDFVM_HYPERCALL_SEAL, %eax
        movq    $0x1515, %r15
        movq    $0x1212, %r12
        outb    %al, $UDFVM_PORT
        .globl  resume
resume:
        movq    %rsp, saved_rsp(%rip)
        movq    %r15, saved_r15(%rip)
        movq    %r12, saved_r12(%rip)
        movq    %xmm7, saved_xmm7(%rip)
        pushfq
        popq    saved_flags(%rip)
        movq    %rax, observed(%rip)
        movq    %rbx, observed+8(%rip)
        movq    %rcx, observed+16(%rip)
        movq    %rdx, observed+24(%rip)
        movq    %rsi, observed+32(%rip)
        movq    %rdi, observed+40(%rip)
        movq    %rbp, observed+48(%rip)
        movq    %r8, observed+56(%rip)
        movq    %r9, observed+64(%rip)
        movq    %r10, observed+72(%rip)
        movq    %r11, observed+80(%rip)
        movq    %r13, observed+88(%rip)
        movq    %r14, observed+96(%rip)
        leaq    observed_xsave(%rip), %rdi      /* as sealed: zeros */
        movl    $-1, %eax
        movl    $-1, %edx
        xsave64 (%rdi)
        fnstenv observed_x87(%rip)
        fldenv  observed_x87(%rip)
        cld
        call    obey
        jmp     resume                  /* complete() returned: the call has another request */

/* A system call returns 1000 + its number and the code segment that the kernel ran in. */
from_syscall:
        movl    %cs, %edx
        addl    $1000, %eax
        movq    UDFVM_TRAP_BASE, %rcx
        jmp     *%rcx

from_fault:
        call    report_fault
        ud2

/* The program is interrupted: it goes on where it was, with all that it had. */
from_interrupt:
        movq    %rax, interrupted_rax
        movq    interruptions, %rax
        leaq    1(%rax), %rax
        movq    %rax, interruptions
        movabsq UDFVM_INPUT_BASE + INTERRUPTED_RIP, %rax
        movq    %rax, interrupted_rip
        movabsq UDFVM_INPUT_BASE + INTERRUPTED_RFLAGS, %rax
        pushq   %rax
        popfq
        movq    interrupted_rax, %rax
        jmp     *interrupted_rip

/* Copied to program memory: stores RSI at RDI and adds RDX to it, until there were R8 interruptions
 * or RCX turns. */
        .globl  tick_loop, tick_loop_end
tick_loop:
        movq    %rsi, (%rdi)
        addq    %rdx, %rsi
        pause
        cmpq    %r8, interruptions
        jae     1f
        decq    %rcx
        jnz     tick_loop
1:      ret
tick_loop_end:

/* Where far transfers lead whose selector is accepted, as that of ring 3's own code is: to a fault,
 * which at ring 0 is not reported as one of ring 3. */
        .globl  reached
reached:
        ud2

/* Ring 0, where the host's test puts it: clears CR0.WP and writes to the address in RDI. */
        .globl  poison
poison:
        movq    %cr0, %rax
        andl    $~0x10000, %eax
        movq    %rax, %cr0
        movq    $0x706f69736f6e, %rax
        movq    %rax, (%rdi)
        movl    $UDFVM_HYPERCALL_COMPLETE, %eax
        xorl    %edi, %edi
        xorl    %esi, %esi
        outb    %al, $UDFVM_PORT
        ud2
