/* See crash.h. The handler runs on a stack of its own, so that a stack overflow is reported too. */
#include "shared/compiled/crash.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "signal_names.h"

#include "shared/compiled/backtrace.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/program.h"

/* the runtime's thread pointer, by which its C library finds the thread's data */
static void *thread_pointer;

static const struct {
    const char *name;
    int index;
} registers[] = {
    { "rax", REG_RAX }, { "rbx", REG_RBX },    { "rcx", REG_RCX }, { "rdx", REG_RDX },
    { "rsi", REG_RSI }, { "rdi", REG_RDI },    { "rbp", REG_RBP }, { "rsp", REG_RSP },
    { "r8", REG_R8 },   { "r9", REG_R9 },      { "r10", REG_R10 }, { "r11", REG_R11 },
    { "r12", REG_R12 }, { "r13", REG_R13 },    { "r14", REG_R14 }, { "r15", REG_R15 },
    { "rip", REG_RIP }, { "eflags", REG_EFL },
};

static void trace_registers(const greg_t *values)
{
    failure_trace("\nRegisters:");
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++)
        failure_trace("%s%s=0x%llx", i % 6 ? " " : "\n  ", registers[i].name,
                      (unsigned long long)values[registers[i].index]);
}

static const char *cause(int number, const siginfo_t *info, const greg_t *values)
{
    const uint64_t address = (uint64_t)info->si_addr, stack = (uint64_t)values[REG_RSP];
    switch (number) {
    case SIGSEGV:
        return address - (stack - 65536) < 65536 + 4096 ? "the stack overflowed"
                                                        : "an access to unmapped memory";
    case SIGBUS:
        return "an access to memory that cannot be made";
    case SIGFPE:
        return info->si_code == FPE_INTDIV ? "an integer division by zero, or one that overflowed"
                                           : "an arithmetic exception";
    case SIGILL:
        return "an invalid instruction, or __builtin_trap()";
    case SIGABRT:
        return "abort() was called";
    default:
        return "the program died";
    }
}

/* Returns true if the micro-VM refused memory: then the registers do not show the cause. */
static bool refused_memory(void)
{
    return ((const struct udfvm_refused_memory *)UDFVM_REFUSED_MEMORY)->length != 0;
}

static void report(int number, siginfo_t *info, void *context)
{
    static char name[16];
    /* The crash may have happened in a program, which has its own thread pointer. */
    __asm__ volatile("wrfsbase %0" : : "r"(thread_pointer) : "memory");
    const greg_t *values = ((const ucontext_t *)context)->uc_mcontext.gregs;
    const uint64_t instruction = (uint64_t)values[REG_RIP];
    const uint64_t address = number == SIGSEGV || number == SIGBUS ? (uint64_t)info->si_addr : 0;
    const char *abbreviation = signal_name(number);
    memcpy(name, "SIG", 4);
    strncat(name, abbreviation ? abbreviation : "NAL", sizeof name - 4);
    if (address || number == SIGSEGV)
        failure_set(name, "%s: address 0x%llx, instruction 0x%llx", cause(number, info, values),
                    (unsigned long long)address, (unsigned long long)instruction);
    else
        failure_set(name, "%s: instruction 0x%llx", cause(number, info, values),
                    (unsigned long long)instruction);
    failure_signal((uint32_t)number, address, instruction);
    failure_add_refusal();
    backtrace_trace(values);
    if (!refused_memory())
        trace_registers(values);
    for (;;) /* the program cannot continue; further requests get the same answer */
        exchange_complete((struct answer){ UDFVM_STATUS_ERROR, failure_reply(-1) });
}

void crash_install(void)
{
    static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    static uint8_t stack[256 << 10];
    struct sigaction action = { .sa_sigaction = report,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND };
    const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    thread_pointer = __builtin_thread_pointer();
    sigaltstack(&alternate, NULL);
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}
