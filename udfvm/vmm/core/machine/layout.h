/* The system area: the first MiB of guest physical and virtual memory. It belongs to the host:
 * ring 3 reaches the stub page (execute) and the state pages (read), and nothing in it can be
 * written at ring 3. The page tables are mapped nowhere. What is below SYSTEM_FIXED_END nobody in
 * the VM can write, ring 0 either: KVM's memory slot is read-only. Page tables cannot be there:
 * processors take the reads of their walks for writes (Intel SDM 3, 29.3.3.2; AMD APM 2, 15.25.5).
 *
 * Shared with stubs.S, hence plain constants.
 */
#ifndef UDFVM_LAYOUT_H
#define UDFVM_LAYOUT_H

#define SYSTEM_SIZE 0x100000

#define SYSTEM_GDT 0x6000
#define SYSTEM_IDT 0x7000
#define SYSTEM_TSS \
    0x8000 /* 104 bytes, then the I/O bitmap of all ports: two more pages and a byte */
#define SYSTEM_TSS_END 0xb000
#define SYSTEM_GATES   0xe000  /* stubs.S: what runs at ring 0 */
#define SYSTEM_STUBS   0x10000 /* stubs.S: what runs at ring 3 */
#define SYSTEM_STATE   0x11000 /* what the resume stub loads: resume RIP, FS base, GS base */
#define SYSTEM_XSAVE \
    0x12000 /* sealed XSAVE image; 11,008 bytes at most (AMX tiles included, Intel SDM 13.4) */
#define SYSTEM_XSAVE_END 0x15000
#define SYSTEM_FIXED_END 0x16000
#define SYSTEM_STACK 0x18000 /* ring-0 stack of the exception stubs, one page, RSP0 at its end */
#define SYSTEM_STACK_TOP 0x19000
#define SYSTEM_PML4      0x1a000
#define SYSTEM_PDPT      0x1b000
#define SYSTEM_PT_LOW \
    0x1c000 /* 4 KiB entries for the first 2 MiB: the system area and the guest kernel */
#define SYSTEM_PT_GUARD \
    0x1d000 /* 4 KiB entries for the 2 MiB that the guard of the guest's stack lies in */
#define SYSTEM_PD        0x20000 /* one page directory per GiB of memory, 64 at most */
#define SYSTEM_PD_INPUT  0x60000 /* the same of the input window, 16 at most */
#define SYSTEM_PD_OUTPUT 0x70000 /* the same of the output window and scratch, 16 at most */
#define SYSTEM_PD_DATA   0x80000 /* the same of data, 128 at most: to the end of the area */

#define STATE_RESUME_RIP (SYSTEM_STATE + 0)
#define STATE_FS_BASE    (SYSTEM_STATE + 8)
#define STATE_GS_BASE    (SYSTEM_STATE + 16)

/* Selectors. SYSRET takes CS = STAR[63:48] + 16 and SS = STAR[63:48] + 8 (AMD APM 2, 6.1.1). */
#define SELECTOR_RING0_CODE 0x08
#define SELECTOR_STAR_USER  0x1b
#define SELECTOR_RING3_DATA 0x23
#define SELECTOR_RING3_CODE 0x2b
#define SELECTOR_TSS        0x38

/* Bit 1 is always set. Where the I/O bitmap is not honoured, the machine's `rflags` have IOPL 3
 * besides; see probe.c. */
#define GUEST_RFLAGS  0x2
#define RFLAGS_IOPL_3 0x3000

#endif
