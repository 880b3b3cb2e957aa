/* The raw guest: executes one command a request, so that tests can be as hostile as ring 3 can be.
 */
#include "../../guest/include/udfvm_abi.h"
#include "raw_guest.h"

#include <stdbool.h>

#define OUTPUT    ((volatile uint64_t *)UDFVM_OUTPUT_BASE)
#define ARGUMENTS ((const volatile uint64_t *)UDFVM_INPUT_PAYLOAD)

uint64_t saved_rsp, saved_r15, saved_r12, saved_xmm7, saved_flags;
uint64_t counter;
uint8_t xsave_area[12288] __attribute__((aligned(64)));
static struct udfvm_seal_info seal_info;
extern const char resume[], poison[];
uint64_t observed[16];
uint8_t observed_x87[28];
uint8_t observed_xsave[12288] __attribute__((aligned(64)));
static uint64_t end_after_fault; /* enum raw_end + 1; 0: report it */

static uint64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                          uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    __asm__ volatile("outb %%al, $0x55"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "memory");
    return number;
}

static void complete(uint64_t words)
{
    hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK, words * 8, 0, 0, 0, 0);
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

static void end(uint64_t how)
{
    static uint8_t bytes[64];
    uint64_t at = (uint64_t)bytes, count = 16, complete_number = UDFVM_HYPERCALL_COMPLETE;
    switch (how) {
    case RAW_END_LOOP:
        for (;;)
            __asm__ volatile("pause");
        break;
    case RAW_END_CRASH:
        hypercall(UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_SIGNAL, 11, 0, 0, 0, 0);
        break;
    case RAW_END_WILD:
        hypercall(77, 0, 0, 0, 0, 0, 0);
        break;
    case RAW_END_CALLS:
        for (;;) {
            uint64_t n = 1;
            __asm__ volatile("syscall" : "+a"(n) : : "rcx", "rdx", "r11", "memory");
        }
        break;
    case RAW_END_TRAP_FLAG: /* the single step would come after the OUT that ends the call */
        __asm__ volatile(
            "pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tmovl %k1, %%ss\n\toutb %%al, $0x55"
            : "+a"(complete_number)
            : "r"(0x23ul), "D"(0), "S"(0));
        break;
    case RAW_END_SHADOW:
        __asm__ volatile("movl %k1, %%ss\n\toutb %%al, $0x55"
                         : "+a"(complete_number)
                         : "r"(0x23ul), "D"(0), "S"(0));
        break;
    case RAW_END_FAULTS:
        end_after_fault = RAW_END_FAULTS + 1;
        for (;;)
            __asm__ volatile("ud2");
        break;
    case RAW_END_PORT:
        __asm__ volatile("outb %%al, $0x80" : : "a"(0));
        break;
    case RAW_END_IN:
        __asm__ volatile("inb $0x55, %%al" : : : "rax");
        break;
    case RAW_END_INS:
        __asm__ volatile("insb" : "+D"(at) : "d"(0x55) : "memory");
        break;
    case RAW_END_INS_FORBIDDEN:
        __asm__ volatile("insb" : "+D"(at) : "d"(0x80) : "memory");
        break;
    case RAW_END_REP_INS:
        __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(0x55) : "memory");
        break;
    case RAW_END_INSL:
        __asm__ volatile("insl" : "+D"(at) : "d"(0x55) : "memory");
        break;
    case RAW_END_OUTS:
        __asm__ volatile("outsb" : "+S"(at) : "d"(0x55), "a"(99) : "memory");
        break;
    case RAW_END_REP_OUTS:
        __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(0x55), "a"(99) : "memory");
        break;
    case RAW_END_OUTL:
        __asm__ volatile("outl %%eax, $0x55" : : "a"(UDFVM_HYPERCALL_COMPLETE));
        break;
    default:
        break;
    }
    complete(0);
}

void report_fault(void)
{
    const uint64_t how = end_after_fault;
    end_after_fault = 0;
    if (how)
        end(how - 1);
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
    case 0:
        __asm__("movl %%ds, %k0" : "=r"(value));
        break;
    case 1:
        __asm__("movl %%es, %k0" : "=r"(value));
        break;
    case 2:
        __asm__("movl %%fs, %k0" : "=r"(value));
        break;
    case 3:
        __asm__("movl %%gs, %k0" : "=r"(value));
        break;
    case 4:
        __asm__("movl %%cs, %k0" : "=r"(value));
        break;
    default:
        __asm__("movl %%ss, %k0" : "=r"(value));
        break;
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
    const uint64_t state[] = {
        fs,          gs,          saved_r15, saved_r12, saved_rsp,
        saved_xmm7,  saved_flags, mxcsr,     counter,   *(volatile uint64_t *)UDFVM_PROGRAM_BASE,
        OUTPUT[8192]
    };
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
    __asm__ volatile(
        "wrfsbase %0\n\twrgsbase %0\n\tmovq %0, %%xmm7\n\tmovq %0, %%r15\n\tmovq %0, %%r12"
        :
        : "r"(mark)
        : "xmm7", "r15", "r12");
    __asm__ volatile(
        "movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs\n\tfldpi\n\tstd"
        :
        : "r"((uint32_t)selector(5)));
    hypercall(UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK, 0, 0, 0, 0, 0);
}

/* One instruction each that ring 3 must not execute. */
static void privileged(uint64_t which)
{
    uint64_t value = 0;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = { 0xffff, UDFVM_PROGRAM_BASE };
    switch (which) {
    case 0:
        __asm__ volatile("movq %0, %%cr3" : : "r"(value));
        break;
    case 1:
        __asm__ volatile("movq %%cr0, %0" : "=r"(value));
        break;
    case 2:
        __asm__ volatile("wrmsr" : : "c"(0xc0000082), "a"(0x400000), "d"(0));
        break;
    case 3:
        __asm__ volatile("rdmsr" : : "c"(0xc0000082) : "eax", "edx");
        break;
    case 4:
        __asm__ volatile("lidt %0" : : "m"(table));
        break;
    case 5:
        __asm__ volatile("lgdt %0" : : "m"(table));
        break;
    case 6:
        __asm__ volatile("hlt");
        break;
    case 7:
        __asm__ volatile("invlpg (%0)" : : "r"(UDFVM_PROGRAM_BASE));
        break;
    case 8:
        __asm__ volatile("swapgs");
        break;
    case 9:
        __asm__ volatile("ltr %w0" : : "r"(0x38));
        break;
    case 10:
        __asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
        break;
    case 11:
        __asm__ volatile("movq %0, %%dr7" : : "r"(value));
        break;
    case 12:
        __asm__ volatile("int $0x80");
        break;
    case 13:
        __asm__ volatile("clts");
        break;
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
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = { (uint32_t)(uint64_t)resume, (uint16_t)selector };
    switch (use) {
    case RAW_DS:
        __asm__ volatile("movl %k0, %%ds" : : "r"(selector));
        break;
    case RAW_ES:
        __asm__ volatile("movl %k0, %%es" : : "r"(selector));
        break;
    case RAW_FS:
        __asm__ volatile("movl %k0, %%fs" : : "r"(selector));
        break;
    case RAW_GS:
        __asm__ volatile("movl %k0, %%gs" : : "r"(selector));
        break;
    case RAW_SS:
        __asm__ volatile("movl %k0, %%ss" : : "r"(selector));
        break;
    case RAW_FAR_CALL:
        __asm__ volatile("lcall *%0" : : "m"(far));
        break;
    case RAW_FAR_JUMP:
        __asm__ volatile("ljmp *%0" : : "m"(far));
        break;
    case RAW_FAR_RETURN:
        __asm__ volatile("pushq %0\n\tpushq %1\n\tlretq" : : "r"(selector), "r"(resume));
        break;
    case RAW_IRET:
        __asm__ volatile("pushq $0x23\n\tpushq %%rsp\n\tpushfq\n\tpushq %0\n\tpushq %1\n\tiretq"
                         :
                         : "r"(selector), "r"(resume));
        break;
    case RAW_LLDT:
        __asm__ volatile("lldt %w0" : : "r"(selector));
        break;
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
    for (const volatile uint64_t *at = (const volatile uint64_t *)from;
         at < (const volatile uint64_t *)to; at++)
        found += *at == value;
    OUTPUT[0] = found;
    complete(1);
}

static void observe(void)
{
    volatile uint8_t *reply = (volatile uint8_t *)OUTPUT;
    struct {
        const void *from;
        uint64_t length;
    } parts[] = {
        { observed, sizeof observed },
        { &saved_rsp, 8 },
        { &saved_r15, 8 },
        { &saved_r12, 8 },
        { &saved_flags, 8 },
        { observed_x87, sizeof observed_x87 },
        { (void *)UDFVM_TRAP_BASE, UDFVM_STREAM_REPLY - UDFVM_TRAP_BASE },
        { observed_xsave, sizeof observed_xsave },
    };
    uint64_t bases[2], length = 0;
    __asm__("rdfsbase %0" : "=r"(bases[0]));
    __asm__("rdgsbase %0" : "=r"(bases[1]));
    for (uint64_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (uint64_t byte = 0; byte < parts[i].length; byte++)
            reply[length++] = ((const volatile uint8_t *)parts[i].from)[byte];
    for (; length % 8; length++)
        reply[length] = 0;
    OUTPUT[length / 8] = bases[0], length += 8;
    OUTPUT[length / 8] = bases[1], length += 8;
    for (int i = 0; i < 6; i++, length += 8)
        OUTPUT[length / 8] = selector(i);
    complete(length / 8);
}

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

/* Faults are expected, and end the call as it is to end. */
static void disturb(uint64_t what, uint64_t how, uint64_t mark)
{
    const uint64_t trap_flag = 0x100;
    const double zero = 0;
    uint16_t control = 0x0340; /* all exceptions of the x87 unmasked */
    uint8_t table[16];
    end_after_fault = how + 1;
    switch (what) {
    case RAW_REGISTERS:
        __asm__ volatile(
            "movq %0, %%rbx\n\tmovq %0, %%r8\n\tmovq %0, %%r9\n\tmovq %0, %%r10\n\tmovq %0, "
            "%%r11\n\tmovq %0, %%r13\n\tmovq %0, %%r14\n\tmovq %0, %%r15"
            :
            : "r"(mark)
            : "rbx", "r8", "r9", "r10", "r11", "r13", "r14", "r15");
        break;
    case RAW_FLAGS:
        __asm__ volatile("pushq $0x244cd7\n\tpopfq\n\tstd");
        break; /* all but the trap flag */
    case RAW_SEGMENTS:
        __asm__ volatile("movl %k0, %%ds\n\tmovl %k0, %%es\n\tmovl %k0, %%fs\n\tmovl %k0, %%gs"
                         :
                         : "r"(0x23ul));
        __asm__ volatile("wrfsbase %0\n\twrgsbase %0" : : "r"(mark));
        break;
    case RAW_X87:
        __asm__ volatile("fldl %0\n\tfldpi\n\tfaddp\n\tfstpl %0"
                         :
                         : "m"(*(const double *)&zero)
                         : "memory");
        break;
    case RAW_X87_PENDING:
        __asm__ volatile("fldcw %0\n\tfld1\n\tfdivl %1" : : "m"(control), "m"(zero));
        break;
    case RAW_MMX:
        __asm__ volatile("movq %0, %%mm3" : : "r"(mark));
        break;
    case RAW_VECTORS:
        disturb_vectors(mark);
        break;
    case RAW_PKRU:
        __asm__ volatile("wrpkru" : : "a"(0xfffffff0), "c"(0), "d"(0));
        break;
    case RAW_PAGE_FAULT:
        (void)*(volatile uint64_t *)((mark & 0xfffff000) | 0x600000000000);
        break;
    case RAW_DIVIDE:
        __asm__ volatile("movq %0, %%rax\n\txorl %%ecx, %%ecx\n\tdivb %%cl"
                         :
                         : "r"(mark)
                         : "rax", "rcx");
        break;
    case RAW_SINGLE_STEP:
        __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tnop\n\tnop" : : "r"(trap_flag));
        break;
    case RAW_STEP_INTO_CALL:
        __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tmovl %k1, %%ss\n\tsyscall"
                         :
                         : "r"(trap_flag), "r"(0x23ul)
                         : "rcx", "r11", "rax", "rdx");
        break;
    case RAW_STEP_INTO_TRAP:
        __asm__ volatile("pushfq\n\torl %k0, (%%rsp)\n\tpopfq\n\tmovl %k1, %%ss\n\tint3"
                         :
                         : "r"(trap_flag), "r"(0x23ul));
        break;
    case RAW_BREAKPOINT:
        __asm__ volatile("int3");
        break;
    case RAW_ICEBP:
        __asm__ volatile(".byte 0xf1");
        break;
    case RAW_MOV_SS:
        __asm__ volatile("movl %k0, %%ss" : : "r"(0x23ul));
        break;
    case RAW_STI:
        __asm__ volatile("sti");
        break;
    case RAW_LDT:
        __asm__ volatile("movl %k0, %%gs" : : "r"(0x6027ul));
        break;
    case RAW_VMMCALL:
        __asm__ volatile("vmmcall" : : "a"(5), "b"(mark), "c"(mark) : "memory");
        break;
    case RAW_VMCALL:
        __asm__ volatile("vmcall" : : "a"(5), "b"(mark), "c"(mark) : "memory");
        break;
    case RAW_SYSENTER:
        __asm__ volatile("sysenter");
        break;
    case RAW_TABLES:
        __asm__ volatile("sgdt %0\n\tsidt %0\n\tsldt %0\n\tstr %0\n\tsmsw %0" : "=m"(table));
        break;
    case RAW_ALIGNMENT:
        __asm__ volatile("pushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tmovl 1(%0), %%eax"
                         :
                         : "r"(xsave_area)
                         : "rax");
        break;
    case RAW_NO_OPCODE:
        __asm__ volatile("ud2");
        break;
    case RAW_INTERRUPT:
        __asm__ volatile("int $0x20");
        break;
    default:
        break;
    }
    end(how);
}

static void bytes(const volatile uint64_t *code)
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
    OUTPUT[0] = RAW_EXECUTED;
    complete(1);
}

void obey(void)
{
    const volatile uint64_t *a = ARGUMENTS;
    switch (a[0]) {
    case RAW_STATE:
        report_state();
        break;
    case RAW_DIRTY:
        dirty_state();
        break;
    case RAW_READ:
        OUTPUT[1] = *(volatile uint64_t *)a[1];
        OUTPUT[0] = RAW_EXECUTED;
        complete(2);
        break;
    case RAW_WRITE:
        *(volatile uint64_t *)a[1] = a[2];
        OUTPUT[0] = RAW_EXECUTED;
        complete(1);
        break;
    case RAW_LOOP:
        for (;;)
            __asm__ volatile("pause");
        break;
    case RAW_PORT:
        port(a[1]);
        break;
    case RAW_HYPERCALL:
        OUTPUT[0] = hypercall(a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
        complete(2);
        break;
    case RAW_PRIVILEGED:
        privileged(a[1]);
        break;
    case RAW_SYSCALL:
        system_call(a[1]);
        break;
    case RAW_COUNT:
        OUTPUT[0] = ++counter;
        complete(1);
        break;
    case RAW_FILL:
        fill(a[1], a[2], a[3]);
        break;
    case RAW_FIND:
        find(a[1], a[2], a[3]);
        break;
    case RAW_ECHO:
        for (uint64_t i = 0; i < a[1]; i++)
            OUTPUT[i] = a[i];
        complete(a[1]);
        break;
    case RAW_SYSCALL_LOOP:
        for (;;) {
            uint64_t n = 1;
            __asm__ volatile("syscall" : "+a"(n) : : "rcx", "rdx", "r11", "memory");
        }
        break;
    case RAW_SEAL:
        counter = a[1];
        hypercall(UDFVM_HYPERCALL_SEAL, (uint64_t)&seal_info, 0, 0, 0, 0, 0);
        break;
    case RAW_DESCRIPTORS:
        descriptors(a[1]);
        break;
    case RAW_SELECTOR:
        use_selector(a[1], a[2]);
        break;
    case RAW_OBSERVE:
        observe();
        break;
    case RAW_DISTURB:
        disturb(a[1], a[2], a[3]);
        break;
    case RAW_BYTES:
        bytes(a + 1);
        break;
    case RAW_POISON:
        OUTPUT[0] = (uint64_t)poison;
        complete(1);
        break;
    default:
        complete(0);
    }
}
