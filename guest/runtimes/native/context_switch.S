/* See context_switch.h. System V ABI for x86-64, 3.2.1: RBX, RBP and R12 to R15 belong to
   the caller, the stack is aligned to 16 bytes at a call; and 3.4.1, the state of a process at its
   entry. */
        .bss
        .balign 8
        .globl  context_runtime_thread
context_runtime_thread:
        .skip   8
runtime_stack:
        .skip   8
program_thread:
        .skip   8
program_stack:
        .skip   8

        .text
        .globl  context_start
        .type   context_start, @function
context_start:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        movq    %rsp, runtime_stack(%rip)
        rdfsbase %rax
        movq    %rax, context_runtime_thread(%rip)
        xorl    %eax, %eax
        wrfsbase %rax
        movq    %rsi, %rsp
        .cfi_undefined %rip
        xorl    %ebx, %ebx
        xorl    %ecx, %ecx
        xorl    %edx, %edx                       /* no function to register with atexit() */
        xorl    %esi, %esi
        xorl    %ebp, %ebp
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        xorl    %r10d, %r10d
        xorl    %r11d, %r11d
        xorl    %r12d, %r12d
        xorl    %r13d, %r13d
        xorl    %r14d, %r14d
        xorl    %r15d, %r15d
        pushq   %rdi
        xorl    %edi, %edi
        ret     $0
        .cfi_endproc
        .size   context_start, . - context_start

        .globl  context_serve
        .type   context_serve, @function
context_serve:
        .cfi_startproc
        movq    %rsp, program_stack(%rip)
        rdfsbase %rax
        movq    %rax, program_thread(%rip)
        movq    context_runtime_thread(%rip), %rax
        wrfsbase %rax
        movq    runtime_stack(%rip), %rsp
        .cfi_undefined %rip
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret
        .cfi_endproc
        .size   context_serve, . - context_serve

        .globl  context_has_program
        .type   context_has_program, @function
context_has_program:
        .cfi_startproc
        cmpq    $0, program_stack(%rip)
        setne   %al
        ret
        .cfi_endproc
        .size   context_has_program, . - context_has_program

/* RBX finds the frame, so a backtrace continues from the program's functions into the runtime's. */
        .globl  context_call
        .type   context_call, @function
context_call:
        .cfi_startproc
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        movq    %rsp, %rbx
        .cfi_def_cfa_register %rbx
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    program_stack(%rip), %rdx
        testq   %rdx, %rdx
        jz      1f
        movq    %rdx, %rsp
        andq    $-16, %rsp
        movq    program_thread(%rip), %rdx
        wrfsbase %rdx
        call    *%rax
        movq    context_runtime_thread(%rip), %rdx
        wrfsbase %rdx
        movq    %rbx, %rsp
        popq    %rbx
        .cfi_remember_state
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbx
        ret
        .cfi_restore_state
1:      call    *%rax
        popq    %rbx
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbx
        ret
        .cfi_endproc
        .size   context_call, . - context_call

        .section .note.GNU-stack, "", @progbits
