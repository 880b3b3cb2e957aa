/* The raw guest: executes one command a request, so that tests can be as hostile as ring 3 can be. */
#include "../../guest/include/udfvm_abi.h"
#include "raw_guest.h"

#include <stdbool.h>

#define OUTPUT ((volatile uint64_t *)UDFVM_OUTPUT_BASE)
#define ARGUMENTS ((const volatile uint64_t *)UDFVM_INPUT_PAYLOAD)

uint64_t saved_rsp, saved_r15, saved_r12, saved_xmm7, saved_flags;
uint64_t counter;
uint8_t xsave_area[12288] __attribute__((aligned(64)));
static struct udfvm_seal_info seal_info;
extern const char resume[];

static uint64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    __asm__ volatile("outb %%al, $0x55" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "memory");
    return number;
}

static void complete(uint64_t words)
{
    hypercall(UDFVM_HC_COMPLETE, UDFVM_STATUS_OK, words * 8, 0, 0, 0, 0);
}

struct udfvm_seal_info *prepare_seal(void)
{
    seal_info.resume_rip = (uint64_t)resume;
    seal_info.fs_base = 0x1234000;
    seal_info.gs_base = 0x5678000;
    seal_info.xsave_area = (uint64_t)xsave_area;
    seal_info.xsave_length = 11008;
    return &seal_info;
}

void report_fault(void)
{
    const struct udfvm_trap *trap = (const struct udfvm_trap *)UDFVM_TRAP_BASE;
    OUTPUT[0] = RAW_FAULTED;
    OUTPUT[1] = trap->vector;
    OUTPUT[2] = trap->error_code;
    OUTPUT[3] = trap->cr2;
    complete(4);
}

static uint64_t selector(int which)
{
    uint64_t value = 0;
    switch (which) {
    case 0: __asm__("movl %%ds, %k0" : "=r"(value)); break;
    case 1: __asm__("movl %%es, %k0" : "=r"(value)); break;
    case 2: __asm__("movl %%fs, %k0" : "=r"(value)); break;
    case 3: __asm__("movl %%gs, %k0" : "=r"(value)); break;
    case 4: __asm__("movl %%cs, %k0" : "=r"(value)); break;
    default: __asm__("movl %%ss, %k0" : "=r"(value)); break;
    }
    return value;
}

static void report_state(void)
{
    uint64_t fs, gs;
    uint32_t mxcsr;
    __asm__("rdfsbase %0" : "=r"(fs));
    __asm__("rdgsbase %0" : "=r"(gs));
    __asm__("stmxcsr %0" : "=m"(mxcsr));
    const uint64_t state[] = { fs, gs, saved_r15, saved_r12, saved_rsp, saved_xmm7, saved_flags, mxcsr, counter,
                               *(volatile uint64_t *)UDFVM_PROGRAM_BASE, OUTPUT[8192] };
    uint64_t words = sizeof state / sizeof *state;
    for (uint64_t i = 0; i < words; i++)
        OUTPUT[i] = state[i];
    for (int i = 0; i < 6; i++)
        OUTPUT[words++] = selector(i);
    complete(words);
}

/* Changes everything that ring 3 can change. */
static void dirty_state(void)
{
    const uint64_t mark = 0xd1d1d1d1;
    const uint32_t mxcsr = 0x9fc0;
    counter = mark;
    *(volatile uint64_t *)UDFVM_PROGRAM_BASE = mark;
    OUTPUT[8192] = mark;
    *(volatile uint64_t *)UDFVM_TRAP_BASE = mark;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile("wrfsbase %0\n\twrgsbase %0\n\tmovq %0, %%xmm7\n\tmovq %0, %%r15\n\tmovq %0, %%r12" : : "r"(mark)
                     : "xmm7", "r15", "r12");
    __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs\n\tfldpi\n\tstd" : : "r"((uint32_t)selector(5)));
    hypercall(UDFVM_HC_COMPLETE, UDFVM_STATUS_OK, 0, 0, 0, 0, 0);
}

/* One instruction each that ring 3 must not execute. */
static void privileged(uint64_t which)
{
    uint64_t value = 0;
    struct { uint16_t limit; uint64_t base; } __attribute__((packed)) table = { 0xffff, UDFVM_PROGRAM_BASE };
    switch (which) {
    case 0: __asm__ volatile("movq %0, %%cr3" : : "r"(value)); break;
    case 1: __asm__ volatile("movq %%cr0, %0" : "=r"(value)); break;
    case 2: __asm__ volatile("wrmsr" : : "c"(0xc0000082), "a"(0x400000), "d"(0)); break;
    case 3: __asm__ volatile("rdmsr" : : "c"(0xc0000082) : "eax", "edx"); break;
    case 4: __asm__ volatile("lidt %0" : : "m"(table)); break;
    case 5: __asm__ volatile("lgdt %0" : : "m"(table)); break;
    case 6: __asm__ volatile("hlt"); break;
    case 7: __asm__ volatile("invlpg (%0)" : : "r"(UDFVM_PROGRAM_BASE)); break;
    case 8: __asm__ volatile("swapgs"); break;
    case 9: __asm__ volatile("ltr %w0" : : "r"(0x38)); break;
    case 10: __asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0)); break;
    case 11: __asm__ volatile("movq %0, %%dr7" : : "r"(value)); break;
    case 12: __asm__ volatile("int $0x80"); break;
    case 13: __asm__ volatile("clts"); break;
    }
    OUTPUT[0] = RAW_EXECUTED;
    complete(1);
}

static void port(uint64_t number)
{
    __asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"((uint16_t)number));
    OUTPUT[0] = RAW_EXECUTED;
    complete(1);
}

static void system_call(uint64_t number)
{
    uint64_t result = number, segment = 0;
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

static void descriptors(uint64_t indicator)
{
    uint64_t found = 0;
    for (uint32_t index = 0; index < 8192; index++)
        for (uint32_t level = 0; level < 4; level++)
            found += visible(index << 3 | (uint32_t)indicator | level);
    OUTPUT[0] = found;
    complete(1);
}

static void use_selector(uint64_t use, uint64_t selector)
{
    struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) far = { (uint32_t)(uint64_t)resume, (uint16_t)selector };
    switch (use) {
    case RAW_DS: __asm__ volatile("movl %k0, %%ds" : : "r"(selector)); break;
    case RAW_ES: __asm__ volatile("movl %k0, %%es" : : "r"(selector)); break;
    case RAW_FS: __asm__ volatile("movl %k0, %%fs" : : "r"(selector)); break;
    case RAW_GS: __asm__ volatile("movl %k0, %%gs" : : "r"(selector)); break;
    case RAW_SS: __asm__ volatile("movl %k0, %%ss" : : "r"(selector)); break;
    case RAW_FAR_CALL: __asm__ volatile("lcall *%0" : : "m"(far)); break;
    case RAW_FAR_JUMP: __asm__ volatile("ljmp *%0" : : "m"(far)); break;
    case RAW_FAR_RETURN: __asm__ volatile("pushq %0\n\tpushq %1\n\tlretq" : : "r"(selector), "r"(resume)); break;
    case RAW_IRET: __asm__ volatile("pushq $0x23\n\tpushq %%rsp\n\tpushfq\n\tpushq %0\n\tpushq %1\n\tiretq" : : "r"(selector), "r"(resume)); break;
    case RAW_LLDT: __asm__ volatile("lldt %w0" : : "r"(selector)); break;
    }
    OUTPUT[0] = RAW_EXECUTED;
    complete(1);
}

static void fill(uint64_t from, uint64_t to, uint64_t value)
{
    for (volatile uint64_t *at = (volatile uint64_t *)from; at < (volatile uint64_t *)to; at++)
        *at = value;
    complete(0);
}

static void find(uint64_t from, uint64_t to, uint64_t value)
{
    uint64_t found = 0;
    for (const volatile uint64_t *at = (const volatile uint64_t *)from; at < (const volatile uint64_t *)to; at++)
        found += *at == value;
    OUTPUT[0] = found;
    complete(1);
}

void obey(void)
{
    const volatile uint64_t *a = ARGUMENTS;
    switch (a[0]) {
    case RAW_STATE: report_state(); break;
    case RAW_DIRTY: dirty_state(); break;
    case RAW_READ: OUTPUT[1] = *(volatile uint64_t *)a[1]; OUTPUT[0] = RAW_EXECUTED; complete(2); break;
    case RAW_WRITE: *(volatile uint64_t *)a[1] = a[2]; OUTPUT[0] = RAW_EXECUTED; complete(1); break;
    case RAW_LOOP: for (;;) __asm__ volatile("pause"); break;
    case RAW_PORT: port(a[1]); break;
    case RAW_HYPERCALL: OUTPUT[0] = hypercall(a[1], a[2], a[3], a[4], a[5], a[6], a[7]); complete(2); break;
    case RAW_PRIVILEGED: privileged(a[1]); break;
    case RAW_SYSCALL: system_call(a[1]); break;
    case RAW_COUNT: OUTPUT[0] = ++counter; complete(1); break;
    case RAW_FILL: fill(a[1], a[2], a[3]); break;
    case RAW_FIND: find(a[1], a[2], a[3]); break;
    case RAW_ECHO: for (uint64_t i = 0; i < a[1]; i++) OUTPUT[i] = a[i]; complete(a[1]); break;
    case RAW_SYSCALL_LOOP: for (;;) { uint64_t n = 1; __asm__ volatile("syscall" : "+a"(n) : : "rcx", "rdx", "r11", "memory"); } break;
    case RAW_SEAL: counter = a[1]; hypercall(UDFVM_HC_SEAL, (uint64_t)&seal_info, 0, 0, 0, 0, 0); break;
    case RAW_DESCRIPTORS: descriptors(a[1]); break;
    case RAW_SELECTOR: use_selector(a[1], a[2]); break;
    default: complete(0);
    }
}
