/* All ways into the kernel and back to the program. Offsets are those of struct thread. */
#include "udfvm_abi.h"

#define TRAP_SYSCALL_RIP (UDFVM_TRAP_BASE + 0)
#define RAX 0
#define RCX 8
#define RDX 16
#define RBX 24
#define RSP 32
#define RBP 40
#define RSI 48
#define RDI 56
#define R8 64
#define R9 72
#define R10 80
#define R11 88
#define R12 96
#define R13 104
#define R14 112
#define R15 120
#define RIP 128
#define RFLAGS 136
#define REGISTERS_SIZE 144
#define KERNEL_STACK_TOP 144
#define RESTORE_ALL 152
#define TRAPPED 160
#define TRAPPED_SYSCALL 1
#define TRAPPED_DIRECT 2
#define RFLAGS_AT_START 0x202

        .section .vectors, "ax"
        .globl  vectors
        .balign 16
vectors:
        jmp     boot_entry
        .balign 16
        jmp     syscall_entry
        .balign 16
        jmp     fault_entry
        .balign 16
        jmp     seal
        .balign 16
        jmp     complete
        .balign 16
        jmp     syscall_function_entry
        .balign 16
        jmp     row
        .balign 16
        jmp     interrupt_entry

/* Loads the registers that a system call preserves, from the thread at RCX. Both ways back use
 * it. */
        .macro  load_registers
        movq    RAX(%rcx), %rax
        movq    RDX(%rcx), %rdx
        movq    RBX(%rcx), %rbx
        movq    RBP(%rcx), %rbp
        movq    RSI(%rcx), %rsi
        movq    RDI(%rcx), %rdi
        movq    R8(%rcx), %r8
        movq    R9(%rcx), %r9
        movq    R10(%rcx), %r10
        movq    R12(%rcx), %r12
        movq    R13(%rcx), %r13
        movq    R14(%rcx), %r14
        movq    R15(%rcx), %r15
        .endm

/* Saves the registers that an entry in the midst of the program finds, but for RAX, RCX and RSP,
 * which each of them saves in its own way. */
        .macro  save_registers to
        movq    %rdx, RDX(\to)
        movq    %rbx, RBX(\to)
        movq    %rbp, RBP(\to)
        movq    %rsi, RSI(\to)
        movq    %rdi, RDI(\to)
        movq    %r8, R8(\to)
        movq    %r9, R9(\to)
        movq    %r10, R10(\to)
        movq    %r11, R11(\to)
        movq    %r12, R12(\to)
        movq    %r13, R13(\to)
        movq    %r14, R14(\to)
        movq    %r15, R15(\to)
        .endm

        .text
boot_entry:
        call    kernel_boot

/* Entry from the LSTAR stub. The return address is in the trap page, RCX and R11 are free (SYSCALL
 * overwrites them, Intel SDM volume 2), and the stack is the program's. */
        .balign 16
syscall_entry:
        movq    TRAP_SYSCALL_RIP, %r11
        movq    current, %rcx
        movq    %rdx, RDX(%rcx)
        movl    $TRAPPED_SYSCALL, %edx
        jmp     save_arguments

/* Entry from a trampoline of rewrite/rewrite.c, which replaces a `syscall`. The return address is
 * in RCX, and R11 is free. */
        .globl  direct_syscall_entry
        .balign 16
direct_syscall_entry:
        cld
        movq    %rcx, %r11
        movq    current, %rcx
        movq    %rdx, RDX(%rcx)
        movl    $TRAPPED_DIRECT, %edx
save_arguments:
        movq    %rax, RAX(%rcx)
        movq    %rsi, RSI(%rcx)
        movq    %rdi, RDI(%rcx)
        movq    %r8, R8(%rcx)
        movq    %r9, R9(%rcx)
        movq    %r10, R10(%rcx)
        movq    %rsp, RSP(%rcx)
save_and_call:
        movq    %r11, RIP(%rcx)
        movq    %r11, RCX(%rcx)
        movq    $RFLAGS_AT_START, R11(%rcx)
        movq    $RFLAGS_AT_START, RFLAGS(%rcx)
        movq    %rbx, RBX(%rcx)
        movq    %rbp, RBP(%rcx)
        movq    %r12, R12(%rcx)
        movq    %r13, R13(%rcx)
        movq    %r14, R14(%rcx)
        movq    %r15, R15(%rcx)
        movq    %rdx, TRAPPED(%rcx)
        movq    KERNEL_STACK_TOP(%rcx), %rsp
        movq    %rcx, %rdi
        call    system_call
        .globl  start_thread
start_thread:
return_to_program:
        movq    current, %rcx
        cmpq    $0, RESTORE_ALL(%rcx)
        jne     enter_program
        load_registers
        movq    RSP(%rcx), %rsp
        movq    RIP(%rcx), %rcx
        jmp     *%rcx

/* long syscall(nr, a, b, c, d, e, f): the arguments move to where a `syscall` has them. */
        .balign 16
syscall_function_entry:
        movq    %rcx, %rax
        movq    current, %rcx
        movq    %rdi, RAX(%rcx)
        movq    %rsi, RDI(%rcx)
        movq    %rdx, RSI(%rcx)
        movq    %rax, RDX(%rcx)
        movq    %r8, R10(%rcx)
        movq    %r9, R8(%rcx)
        movq    8(%rsp), %rax
        movq    %rax, R9(%rcx)
        movq    (%rsp), %r11
        leaq    8(%rsp), %rax
        movq    %rax, RSP(%rcx)
        xorl    %edx, %edx                       /* TRAPPED_NOT */
        jmp     save_and_call

/* Entry from the exception stubs, on the fault stack. All other registers are the program's. */
        .balign 16
fault_entry:
        subq    $REGISTERS_SIZE, %rsp
        movq    %rax, RAX(%rsp)
        movq    %rcx, RCX(%rsp)
        save_registers %rsp
        movq    %rsp, %rdi
        call    fault
        movq    current, %rcx
        movq    KERNEL_STACK_TOP(%rcx), %rsp
        jmp     return_to_program

/* Entry by the host, in the midst of the program, whose stack it is. All registers are the
 * program's, but the flags; those and RIP are in the call page. */
        .balign 16
interrupt_entry:
        movq    %rcx, interrupted_rcx
        movq    current, %rcx
        movq    %rax, RAX(%rcx)
        movq    interrupted_rcx, %rax
        movq    %rax, RCX(%rcx)
        movq    %rsp, RSP(%rcx)
        save_registers %rcx
        movq    $0, TRAPPED(%rcx)
        movq    $1, RESTORE_ALL(%rcx)
        movq    KERNEL_STACK_TOP(%rcx), %rsp
        call    interrupt
        jmp     return_to_program

/* Loads all registers, flags included: iretq works at ring 3. */
        .globl  enter_program
        .balign 16
enter_program:
        movq    current, %rcx
        movq    KERNEL_STACK_TOP(%rcx), %rsp
        movq    $0, RESTORE_ALL(%rcx)
        movl    %ss, %eax
        pushq   %rax
        pushq   RSP(%rcx)
        pushq   RFLAGS(%rcx)
        movl    %cs, %eax
        pushq   %rax
        pushq   RIP(%rcx)
        load_registers
        movq    R11(%rcx), %r11
        movq    RCX(%rcx), %rcx
        .globl  program_entry
program_entry:
        iretq

/* void switch_stacks(uint64_t *save_rsp, uint64_t load_rsp) */
        .globl  switch_stacks
        .balign 16
switch_stacks:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret

/* For kernel.ld, which cannot include the ABI header. */
        .globl  abi_kernel_base, abi_trap_base, abi_pending_log, abi_program_base
        .set    abi_kernel_base, UDFVM_KERNEL_BASE
        .set    abi_trap_base, UDFVM_TRAP_BASE
        .set    abi_pending_log, UDFVM_PENDING_LOG
        .set    abi_program_base, UDFVM_PROGRAM_BASE

        .section .note.GNU-stack, "", @progbits
