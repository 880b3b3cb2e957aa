/* Commands of the raw guest: the first word of a request's payload; its arguments follow. */
#ifndef RAW_GUEST_H
#define RAW_GUEST_H

enum {
    RAW_STATE = 1,       /* reply: everything that ring 3 can change, as it was at the start of the call */
    RAW_DIRTY,           /* changes all of it */
    RAW_READ,            /* address */
    RAW_WRITE,           /* address, value */
    RAW_LOOP,
    RAW_PORT,            /* port */
    RAW_HYPERCALL,       /* number, six arguments; reply: result, second word of the output window */
    RAW_PRIVILEGED,      /* which */
    RAW_SYSCALL,         /* number; reply: 1000 + number, CPL in the kernel */
    RAW_COUNT,           /* reply: how often in this state */
    RAW_FILL,            /* from, to, value */
    RAW_FIND,            /* from, to, value; reply: how many */
    RAW_ECHO,            /* words; reply: so many words of the request */
    RAW_SYSCALL_LOOP,
    RAW_SEAL,            /* value of the counter to seal */
    RAW_DESCRIPTORS,     /* table indicator: 0 GDT, 4 LDT; reply: how many selectors of it name something that ring 3 sees */
    RAW_SELECTOR,        /* enum raw_use, selector */
};
enum raw_use { RAW_DS, RAW_ES, RAW_FS, RAW_GS, RAW_SS, RAW_FAR_CALL, RAW_FAR_JUMP, RAW_FAR_RETURN, RAW_IRET, RAW_LLDT, RAW_USES };
enum { RAW_EXECUTED = 0x600d, RAW_FAULTED = 0xfa17 };   /* first word of a reply */

#endif
