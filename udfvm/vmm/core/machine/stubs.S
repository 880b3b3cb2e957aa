/* The only code that a micro-VM runs outside the guest's own, in read-only memory,
   position-independent but for absolute addresses of guest memory. What ring 0 runs is copied to
   SYSTEM_GATES, out of reach for ring 3; what ring 3 runs to SYSTEM_STUBS, which ring 0 cannot
   execute where the processor has SMEP. Ring-0 instructions are emulated on PVM (about 230 ns
   each), so they are few. */
#include "machine/layout.h"
#include "udfvm_abi.h"

#define TRAP_SYSCALL_RIP  (UDFVM_TRAP_BASE + 0)
#define TRAP_VECTOR       (UDFVM_TRAP_BASE + 16)
#define TRAP_ERROR_CODE   (UDFVM_TRAP_BASE + 24)
#define TRAP_CR2          (UDFVM_TRAP_BASE + 32)
#define TRAP_RIP          (UDFVM_TRAP_BASE + 40)
#define TRAP_CS           (UDFVM_TRAP_BASE + 48)
#define TRAP_RFLAGS       (UDFVM_TRAP_BASE + 56)
#define TRAP_RSP          (UDFVM_TRAP_BASE + 64)
#define TRAP_SS           (UDFVM_TRAP_BASE + 72)
#define VECTOR_PAGE_FAULT 14

        .section .rodata
        .balign 16
        .globl  udfvm_gates, udfvm_gate_exceptions, udfvm_gates_end
        .hidden udfvm_gates, udfvm_gate_exceptions, udfvm_gates_end
        .globl  udfvm_gate_flags_call, udfvm_gate_flags_fault
        .hidden udfvm_gate_flags_call, udfvm_gate_flags_fault
        .globl  udfvm_stubs, udfvm_stub_resume_keys, udfvm_stub_resume, udfvm_stubs_end
        .hidden udfvm_stubs, udfvm_stub_resume_keys, udfvm_stub_resume, udfvm_stubs_end

/* ---- Ring 0 ---- */

/* LSTAR where `syscall` arrives at CPL 0: drops to ring 3. The flags, here and below, end in the
   four bytes that system_area.c completes. */
udfvm_gates:
        movq    %rcx, TRAP_SYSCALL_RIP
        movl    $UDFVM_VECTOR_SYSCALL, %ecx
        movl    $GUEST_RFLAGS, %r11d
udfvm_gate_flags_call:
        sysretq

/* Exceptions: one entry of 16 bytes per vector. The processor pushes an error code for vectors 8,
   10-14, 17, 21, 29, 30 (AMD APM 2, 8.2); the others push a zero. */
        .balign 16
udfvm_gate_exceptions:
        .set    vector, 0
        .rept   32
        .balign 16
        .if     !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) \
                  || (vector == 21) || (vector == 29) || (vector == 30))
        pushq   $0
        .endif
        pushq   $vector
        jmp     exception
        .set    vector, vector + 1
        .endr

/* Stack: RAX, vector, error code, RIP, CS, RFLAGS, RSP, SS. Records them in the trap page and
   returns to the guest kernel at ring 3. */
        .balign 16
exception:
        testb   $3, 24(%rsp)
        jz      panic
        pushq   %rax
        movq    8(%rsp), %rax
        movq    %rax, TRAP_VECTOR
        cmpl    $VECTOR_PAGE_FAULT, %eax
        movl    $0, %eax                /* CR2 means nothing else, and may be of an earlier call */
        jne     1f
        movq    %cr2, %rax
1:      movq    %rax, TRAP_CR2
        movq    16(%rsp), %rax
        movq    %rax, TRAP_ERROR_CODE
        movq    24(%rsp), %rax
        movq    %rax, TRAP_RIP
        movq    32(%rsp), %rax
        movq    %rax, TRAP_CS
        movq    40(%rsp), %rax
        movq    %rax, TRAP_RFLAGS
        movq    48(%rsp), %rax
        movq    %rax, TRAP_RSP
        movq    56(%rsp), %rax
        movq    %rax, TRAP_SS
        movq    $UDFVM_VECTOR_FAULT, 24(%rsp)
        movq    $SELECTOR_RING3_CODE, 32(%rsp)
        movq    $GUEST_RFLAGS, 40(%rsp)
udfvm_gate_flags_fault:
        movq    $UDFVM_FAULT_STACK, 48(%rsp)
        movq    $SELECTOR_RING3_DATA, 56(%rsp)
        popq    %rax
        addq    $16, %rsp
        iretq

/* An exception at ring 0: a debug trap that `mov %ss` put off into a gate, or a broken image. The
   VM is given up. */
panic:
        outb    %al, $UDFVM_PORT_PANIC
        hlt
udfvm_gates_end:

/* ---- Ring 3 ---- */

/* LSTAR where `syscall` leaves the CPL at 3, as PVM does. */
        .balign 16
udfvm_stubs:
        movq    %rcx, TRAP_SYSCALL_RIP
        movl    $UDFVM_VECTOR_SYSCALL, %ecx
        cld
        jmp     *%rcx

/* Where every call starts: puts back what general registers do not cover. XRSTOR with all bits
   asked for restores every component that XCR0 enables, whatever that is here (on PVM the host's
   own), to the sealed value or to its initial one. Older AMD processors leave FOP, FIP and FDP
   alone while no x87 exception is pending (AMD APM 5, XRSTOR), so an x87 load points them here
   before. Where ring 3 has protection keys, those of an earlier call may forbid to read anything,
   XRSTOR's area too: so PKRU is written first. */
        .balign 16
udfvm_stub_resume_keys:
        xorl    %eax, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        wrpkru
udfvm_stub_resume:
        xorl    %eax, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movq    STATE_FS_BASE, %rax
        wrfsbase %rax
        movq    STATE_GS_BASE, %rax
        wrgsbase %rax
        fnclex
        emms
        fildl   STATE_RESUME_RIP
        movl    $-1, %eax
        movl    $-1, %edx
        xrstor64 SYSTEM_XSAVE
        jmp     *STATE_RESUME_RIP
udfvm_stubs_end:

        .section .note.GNU-stack, "", @progbits
