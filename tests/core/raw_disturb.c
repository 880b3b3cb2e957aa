/* The raw guest's disturbances: each changes something of the processor's state, or faults. Faults
 * are expected, and end the call as it is to end. */
#include "raw_parts.h"

static void disturb_vectors(uint64_t mark)
{
    uint32_t low, high;
    const uint32_t mxcsr = 0x9fc0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    __asm__ volatile("ldmxcsr %1\n\tmovq %0, %%xmm0\n\tmovq %0, %%xmm7\n\tmovq %0, %%xmm15"
                     :
                     : "r"(mark), "m"(mxcsr));
    if (low & 4)
        __asm__ volatile("vmovq %0, %%xmm1\n\tvinsertf128 $1, %%xmm1, %%ymm1, %%ymm1"
                         :
                         : "r"(mark));
    if ((low & 0xe0) == 0xe0)
        __asm__ volatile("kmovw %k0, %%k1\n\tvpbroadcastq %0, %%zmm2\n\tvpbroadcastq %0, %%zmm31"
                         :
                         : "r"(mark));
}

/* All but the trap flag. */
static void disturb_flags(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("pushq $0x244cd7\n\tpopfq\n\tstd");
}

static void disturb_segments(uint64_t mark)
{
    __asm__ volatile("movl %k0, %%ds\n\tmovl %k0, %%es\n\tmovl %k0, %%fs\n\tmovl %k0, %%gs"
                     :
                     : "r"(SELECTOR_RING3_DATA));
    __asm__ volatile("wrfsbase %0\n\twrgsbase %0" : : "r"(mark));
}

static void disturb_x87(uint64_t mark)
{
    double zero = 0;
    (void)mark;
    __asm__ volatile("fldl %0\n\tfldpi\n\tfaddp\n\tfstpl %0" : "+m"(zero));
}

static void disturb_x87_pending(uint64_t mark)
{
    const uint16_t control = 0x0340; /* all exceptions of the x87 unmasked */
    const double zero = 0;
    (void)mark;
    __asm__ volatile("fldcw %0\n\tfld1\n\tfdivl %1" : : "m"(control), "m"(zero));
}

static void disturb_mmx(uint64_t mark)
{
    __asm__ volatile("movq %0, %%mm3" : : "r"(mark));
}

static void disturb_pkru(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("wrpkru" : : "a"(0xfffffff0), "c"(0), "d"(0));
}

static void disturb_page_fault(uint64_t mark)
{
    (void)*(volatile uint64_t *)((mark & 0xfffff000) | 0x600000000000);
}

static void disturb_divide(uint64_t mark)
{
    __asm__ volatile("movq %0, %%rax\n\txorl %%ecx, %%ecx\n\tdivb %%cl"
                     :
                     : "r"(mark)
                     : "rax", "rcx");
}

static void disturb_single_step(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tnop\n\tnop" : : "r"(TRAP_FLAG));
}

static void disturb_step_into_call(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tmovl %k1, %%ss\n\tsyscall"
                     :
                     : "r"(TRAP_FLAG), "r"(SELECTOR_RING3_DATA)
                     : "rcx", "r11", "rax", "rdx");
}

static void disturb_step_into_trap(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tmovl %k1, %%ss\n\tint3"
                     :
                     : "r"(TRAP_FLAG), "r"(SELECTOR_RING3_DATA));
}

static void disturb_breakpoint(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("int3");
}

static void disturb_icebp(uint64_t mark)
{
    (void)mark;
    __asm__ volatile(".byte 0xf1");
}

static void disturb_mov_ss(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("movl %k0, %%ss" : : "r"(SELECTOR_RING3_DATA));
}

static void disturb_sti(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("sti");
}

static void disturb_ldt(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("movl %k0, %%gs" : : "r"(0x6027ul));
}

static void disturb_vmmcall(uint64_t mark)
{
    __asm__ volatile("vmmcall" : : "a"(5), "b"(mark), "c"(mark) : "memory");
}

static void disturb_vmcall(uint64_t mark)
{
    __asm__ volatile("vmcall" : : "a"(5), "b"(mark), "c"(mark) : "memory");
}

static void disturb_sysenter(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("sysenter");
}

static void disturb_tables(uint64_t mark)
{
    uint8_t table[16];
    (void)mark;
    __asm__ volatile("sgdt %0\n\tsidt %0\n\tsldt %0\n\tstr %0\n\tsmsw %0" : "=m"(table));
}

static void disturb_alignment(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("pushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tmovl 1(%0), %%eax"
                     :
                     : "r"(xsave_area)
                     : "rax");
}

static void disturb_no_opcode(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("ud2");
}

static void disturb_interrupt(uint64_t mark)
{
    (void)mark;
    __asm__ volatile("int $0x20");
}

static void (*const disturbances[RAW_DISTURBANCES])(uint64_t mark) = {
    [RAW_FLAGS] = disturb_flags,
    [RAW_SEGMENTS] = disturb_segments,
    [RAW_X87] = disturb_x87,
    [RAW_X87_PENDING] = disturb_x87_pending,
    [RAW_MMX] = disturb_mmx,
    [RAW_VECTORS] = disturb_vectors,
    [RAW_PKRU] = disturb_pkru,
    [RAW_PAGE_FAULT] = disturb_page_fault,
    [RAW_DIVIDE] = disturb_divide,
    [RAW_SINGLE_STEP] = disturb_single_step,
    [RAW_STEP_INTO_CALL] = disturb_step_into_call,
    [RAW_STEP_INTO_TRAP] = disturb_step_into_trap,
    [RAW_BREAKPOINT] = disturb_breakpoint,
    [RAW_ICEBP] = disturb_icebp,
    [RAW_MOV_SS] = disturb_mov_ss,
    [RAW_STI] = disturb_sti,
    [RAW_LDT] = disturb_ldt,
    [RAW_VMMCALL] = disturb_vmmcall,
    [RAW_VMCALL] = disturb_vmcall,
    [RAW_SYSENTER] = disturb_sysenter,
    [RAW_TABLES] = disturb_tables,
    [RAW_ALIGNMENT] = disturb_alignment,
    [RAW_NO_OPCODE] = disturb_no_opcode,
    [RAW_INTERRUPT] = disturb_interrupt,
};

/* Registers that a function saves are back when it returns: they change here. */
void end_with_registers(uint64_t how, uint64_t mark)
{
    __asm__ volatile(
        "movq %0, %%rbx\n\tmovq %0, %%r8\n\tmovq %0, %%r9\n\tmovq %0, %%r10\n\tmovq %0, "
        "%%r11\n\tmovq %0, %%r13\n\tmovq %0, %%r14\n\tmovq %0, %%r15"
        :
        : "r"(mark)
        : "rbx", "r8", "r9", "r10", "r11", "r13", "r14", "r15");
    end(how);
    __asm__ volatile(""); /* the call above is no tail call, before which they would be back */
}

void disturb(const volatile uint64_t *arguments)
{
    const uint64_t what = arguments[0], how = arguments[1], mark = arguments[2];
    end_after_the_next_fault(how);
    if (what == RAW_REGISTERS) {
        end_with_registers(how, mark);
        return;
    }
    if (what < RAW_DISTURBANCES && disturbances[what])
        disturbances[what](mark);
    end(how);
}
