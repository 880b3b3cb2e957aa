/* What the raw guest tries that ring 3 must not do: privileged instructions, ports, descriptors,
 * and bytes of the host's choice. It reports what does not fault. */
#include <stdbool.h>

#include "raw_parts.h"

#define MSR_LSTAR 0xc0000082

static const struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) whole_memory = { 0xffff, UDFVM_PROGRAM_BASE };

static void execute_mov_to_cr3(void)
{
    __asm__ volatile("movq %0, %%cr3" : : "r"(0ul));
}

static void execute_mov_from_cr0(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr0, %0" : "=r"(value));
}

static void execute_wrmsr(void)
{
    __asm__ volatile("wrmsr" : : "c"(MSR_LSTAR), "a"(0x400000), "d"(0));
}

static void execute_rdmsr(void)
{
    __asm__ volatile("rdmsr" : : "c"(MSR_LSTAR) : "eax", "edx");
}

static void execute_lidt(void)
{
    __asm__ volatile("lidt %0" : : "m"(whole_memory));
}

static void execute_lgdt(void)
{
    __asm__ volatile("lgdt %0" : : "m"(whole_memory));
}

static void execute_hlt(void)
{
    __asm__ volatile("hlt");
}

static void execute_invlpg(void)
{
    __asm__ volatile("invlpg (%0)" : : "r"(UDFVM_PROGRAM_BASE));
}

static void execute_swapgs(void)
{
    __asm__ volatile("swapgs");
}

static void execute_ltr(void)
{
    __asm__ volatile("ltr %w0" : : "r"(0x38));
}

static void execute_xsetbv(void)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
}

static void execute_mov_to_dr7(void)
{
    __asm__ volatile("movq %0, %%dr7" : : "r"(0ul));
}

static void execute_int_80(void)
{
    __asm__ volatile("int $0x80");
}

static void execute_clts(void)
{
    __asm__ volatile("clts");
}

static void (*const instructions[RAW_PRIVILEGED_INSTRUCTIONS])(void) = {
    [RAW_MOV_TO_CR3] = execute_mov_to_cr3,
    [RAW_MOV_FROM_CR0] = execute_mov_from_cr0,
    [RAW_WRMSR] = execute_wrmsr,
    [RAW_RDMSR] = execute_rdmsr,
    [RAW_LIDT] = execute_lidt,
    [RAW_LGDT] = execute_lgdt,
    [RAW_HLT] = execute_hlt,
    [RAW_INVLPG] = execute_invlpg,
    [RAW_SWAPGS] = execute_swapgs,
    [RAW_LTR] = execute_ltr,
    [RAW_XSETBV] = execute_xsetbv,
    [RAW_MOV_TO_DR7] = execute_mov_to_dr7,
    [RAW_INT_80] = execute_int_80,
    [RAW_CLTS] = execute_clts,
};

void privileged(const volatile uint64_t *arguments)
{
    if (arguments[0] < RAW_PRIVILEGED_INSTRUCTIONS)
        instructions[arguments[0]]();
    executed();
}

void port(const volatile uint64_t *arguments)
{
    __asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"((uint16_t)arguments[0]));
    executed();
}

void system_call(const volatile uint64_t *arguments)
{
    uint64_t result = arguments[0], segment = 0;
    __asm__ volatile("syscall" : "+a"(result), "=d"(segment) : : "rcx", "r11", "memory");
    OUTPUT[0] = result;
    OUTPUT[1] = segment & 3;
    complete(2);
}

static bool visible(uint32_t selector)
{
    bool lar, lsl, readable, writable;
    uint32_t word;
    __asm__("larl %2, %1" : "=@ccz"(lar), "=r"(word) : "r"(selector));
    __asm__("lsll %2, %1" : "=@ccz"(lsl), "=r"(word) : "r"(selector));
    __asm__("verr %w1" : "=@ccz"(readable) : "r"(selector));
    __asm__("verw %w1" : "=@ccz"(writable) : "r"(selector));
    return lar || lsl || readable || writable;
}

void count_descriptors(const volatile uint64_t *arguments)
{
    const uint32_t indicator = (uint32_t)arguments[0];
    uint64_t found = 0;
    for (uint32_t index = 0; index < 8192; index++)
        for (uint32_t level = 0; level < 4; level++)
            found += visible(index << 3 | indicator | level);
    OUTPUT[0] = found;
    complete(1);
}

struct far_pointer {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed));

static struct far_pointer pointer_to(uint64_t selector)
{
    return (struct far_pointer){ (uint32_t)(uint64_t)reached, (uint16_t)selector };
}

static void use_ds(uint64_t selector)
{
    __asm__ volatile("movl %k0, %%ds" : : "r"(selector));
}

static void use_es(uint64_t selector)
{
    __asm__ volatile("movl %k0, %%es" : : "r"(selector));
}

static void use_fs(uint64_t selector)
{
    __asm__ volatile("movl %k0, %%fs" : : "r"(selector));
}

static void use_gs(uint64_t selector)
{
    __asm__ volatile("movl %k0, %%gs" : : "r"(selector));
}

static void use_ss(uint64_t selector)
{
    __asm__ volatile("movl %k0, %%ss" : : "r"(selector));
}

static void use_far_call(uint64_t selector)
{
    const struct far_pointer far = pointer_to(selector);
    __asm__ volatile("lcall *%0" : : "m"(far));
}

static void use_far_jump(uint64_t selector)
{
    const struct far_pointer far = pointer_to(selector);
    __asm__ volatile("ljmp *%0" : : "m"(far));
}

static void use_far_return(uint64_t selector)
{
    __asm__ volatile("pushq %0\n\tpushq %1\n\tlretq" : : "r"(selector), "r"(reached));
}

static void use_iret(uint64_t selector)
{
    __asm__ volatile("pushq $0x23\n\tpushq %%rsp\n\tpushfq\n\tpushq %0\n\tpushq %1\n\tiretq"
                     :
                     : "r"(selector), "r"(reached));
}

static void use_lldt(uint64_t selector)
{
    __asm__ volatile("lldt %w0" : : "r"(selector));
}

static void (*const uses[RAW_USES])(uint64_t selector) = {
    [RAW_DS] = use_ds,
    [RAW_ES] = use_es,
    [RAW_FS] = use_fs,
    [RAW_GS] = use_gs,
    [RAW_SS] = use_ss,
    [RAW_FAR_CALL] = use_far_call,
    [RAW_FAR_JUMP] = use_far_jump,
    [RAW_FAR_RETURN] = use_far_return,
    [RAW_IRET] = use_iret,
    [RAW_LLDT] = use_lldt,
};

void use_selector(const volatile uint64_t *arguments)
{
    if (arguments[0] < RAW_USES)
        uses[arguments[0]](arguments[1]);
    executed();
}

void run_bytes(const volatile uint64_t *code)
{
    static uint64_t buffer[3] __attribute__((aligned(64)));
    buffer[0] = code[0];
    buffer[1] = code[1];
    buffer[2] = 0xc390; /* nop; ret */
    __asm__ volatile("call *%0"
                     :
                     : "r"(buffer), "a"(0), "b"(UDFVM_PROGRAM_BASE), "c"(0), "d"(0),
                       "S"(UDFVM_PROGRAM_BASE), "D"(UDFVM_PROGRAM_BASE)
                     : "memory", "r8", "r9", "r10", "r11", "xmm0");
    executed();
}
