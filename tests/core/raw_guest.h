/* Commands of the raw guest: the first word of a request's payload; its arguments follow. */
#ifndef RAW_GUEST_H
#define RAW_GUEST_H

enum {
    RAW_STATE =
        1,     /* reply: everything that ring 3 can change, as it was at the start of the call */
    RAW_DIRTY, /* changes all of it */
    RAW_READ,  /* address */
    RAW_WRITE, /* address, value */
    RAW_LOOP,
    RAW_PORT,       /* port */
    RAW_HYPERCALL,  /* number, six arguments; reply: result, second word of the output window */
    RAW_PRIVILEGED, /* enum raw_privileged */
    RAW_SYSCALL,    /* number; reply: 1000 + number, CPL in the kernel */
    RAW_COUNT,      /* reply: how often in this state */
    RAW_FILL,       /* from, to, value */
    RAW_FIND,       /* from, to, value; reply: how many */
    RAW_ECHO,       /* words; reply: so many words of the request */
    RAW_SYSCALL_LOOP,
    RAW_SEAL,        /* value of the counter to seal; what is added to the bases of FS and GS */
    RAW_DESCRIPTORS, /* table indicator: 0 GDT, 4 LDT; reply: how many selectors of it name
                        something that ring 3 sees */
    RAW_SELECTOR,    /* enum raw_use, selector */
    RAW_OBSERVE, /* reply: all that ring 3 can see of the processor, as it was at the start of the
                    call, and the trap page */
    RAW_DISTURB, /* enum raw_disturbance, enum raw_end, mark: changes something, then ends the call
                  */
    RAW_BYTES,   /* 16 bytes of code that ends in the reply RAW_EXECUTED unless it faults; RBX:
                    program memory, ECX EDX: 0 */
    RAW_POISON,  /* reply: the address of code for ring 0 */
    RAW_STREAM,  /* words, enum raw_stream, words of any kind, also in a streaming call; reply: so
                    many words of the request, but the first is the sum of the bytes behind it */
    RAW_STACK,   /* enum raw_entry, address: enters ring 0, or returns, with a stack there */
    RAW_SET_FLAGS, /* flags, then 0: a system call, 1: a fault, 2: neither */
    RAW_CRAFTED,   /* enum raw_state_load, seed, bits of what is legal in it: header, MXCSR, the
                      compacted format */
    RAW_TAINT,     /* bits RAW_IN(enum raw_place), mark (0: a word of the call's seed), seed,
                      enum raw_end, end of memory: leaves the mark there, then ends the call */
    RAW_SEARCH,    /* complements of two marks, count of ranges, 1: unlogged memory is opened first,
                      then ranges, from and to; reply: how many marks, the first of them */
    RAW_TICKS,     /* enum raw_tick, first value of struct udfvm_timer, what is added to it in each
                      turn, interruptions at most, turns at most; reply: interruptions */
    RAW_COMMANDS
};
enum raw_tick {
    RAW_TICK_USUAL,
    RAW_TICK_NO_STACK,
    RAW_TICK_FLAGS, /* DF, AC, NT, ID */
    RAW_TICK_SEGMENTS,
    RAW_TICKS_KINDS
};
/* All that ring 3 can write: see docs/security.md, "Restore". */
enum raw_place {
    RAW_PLACE_PROGRAM,
    RAW_PLACE_STACK,
    RAW_PLACE_KERNEL,
    RAW_PLACE_KERNEL_STACKS,
    RAW_PLACE_TRAP_PAGE,
    RAW_PLACE_OUTPUT, /* the logged part of the output window */
    RAW_PLACE_WINDOW, /* the rest of it */
    RAW_PLACE_SCRATCH,
    RAW_PLACE_REGISTERS,
    RAW_PLACE_FLAGS,
    RAW_PLACE_SELECTORS,
    RAW_PLACE_BASES,   /* of FS and GS */
    RAW_PLACE_VECTORS, /* x87, MXCSR, SSE, AVX, AVX-512 and its opmasks */
    RAW_PLACES
};
#define RAW_IN(place) (1ul << (place))
enum raw_entry {
    RAW_BY_CALL,
    RAW_BY_FAULT,
    RAW_BY_BREAKPOINT,
    RAW_BY_PUSH,
    RAW_BY_IRET,
    RAW_BY_FAR_RETURN,
    RAW_BY_STEP,
    RAW_ENTRIES
};
enum raw_state_load {
    RAW_XRSTOR,
    RAW_FXRSTOR,
    RAW_LDMXCSR,
    RAW_FLDENV,
    RAW_FRSTOR,
    RAW_XSAVE_ANYWHERE,
    RAW_XSAVE_HERE,
    RAW_STATE_LOADS
};
enum raw_stream {
    RAW_ANSWER,
    RAW_NO_ANSWER,
    RAW_RUN_ON, /* after the answer */
    RAW_LIE,    /* the answer's length and status are the next two words of the request */
    RAW_STALE,  /* the answer has the number of the request before */
    RAW_AHEAD,  /* the answer has the numbers of all requests to come, in turn */
    RAW_TWICE,  /* the answer is given again, as the next request's, with another length */
    RAW_CHANGE, /* the answer's length and status change for as long as the guest runs */
    RAW_STREAMS
};
enum raw_privileged {
    RAW_MOV_TO_CR3,
    RAW_MOV_FROM_CR0,
    RAW_WRMSR,
    RAW_RDMSR,
    RAW_LIDT,
    RAW_LGDT,
    RAW_HLT,
    RAW_INVLPG,
    RAW_SWAPGS,
    RAW_LTR,
    RAW_XSETBV,
    RAW_MOV_TO_DR7,
    RAW_INT_80,
    RAW_CLTS,
    RAW_PRIVILEGED_INSTRUCTIONS
};
enum raw_use {
    RAW_DS,
    RAW_ES,
    RAW_FS,
    RAW_GS,
    RAW_SS,
    RAW_FAR_CALL,
    RAW_FAR_JUMP,
    RAW_FAR_RETURN,
    RAW_IRET,
    RAW_LLDT,
    RAW_USES
};
enum raw_disturbance {
    RAW_NOTHING,
    RAW_REGISTERS,
    RAW_FLAGS,
    RAW_SEGMENTS,
    RAW_X87,
    RAW_X87_PENDING,
    RAW_MMX,
    RAW_VECTORS,
    RAW_PKRU,
    RAW_PAGE_FAULT,
    RAW_DIVIDE,
    RAW_SINGLE_STEP,
    RAW_STEP_INTO_CALL,
    RAW_STEP_INTO_TRAP,
    RAW_BREAKPOINT,
    RAW_ICEBP,
    RAW_MOV_SS,
    RAW_STI,
    RAW_LDT,
    RAW_VMMCALL,
    RAW_VMCALL,
    RAW_SYSENTER,
    RAW_TABLES,
    RAW_ALIGNMENT,
    RAW_NO_OPCODE,
    RAW_INTERRUPT,
    RAW_DISTURBANCES
};
enum raw_end {
    RAW_END_COMPLETE,
    RAW_END_LOOP,
    RAW_END_CRASH,
    RAW_END_WILD,
    RAW_END_CALLS,
    RAW_END_TRAP_FLAG,
    RAW_END_SHADOW,
    RAW_END_FAULTS,
    RAW_END_PORT,
    RAW_END_IN,
    RAW_END_INS,
    RAW_END_INS_FORBIDDEN,
    RAW_END_REP_INS,
    RAW_END_INSL,
    RAW_END_OUTS,
    RAW_END_REP_OUTS,
    RAW_END_OUTL,
    RAW_ENDS
};
enum { RAW_EXECUTED = 0x600d, RAW_FAULTED = 0xfa17 }; /* first word of a reply */

#endif
