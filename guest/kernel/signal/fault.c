/* Exceptions. Those of the program become signals. An exception in the kernel that a program's
 * pointer caused ends the system call with EFAULT. */
#include "arch/entry.h"
#include "host/exit.h"
#include "lib/string.h"
#include "mm/regions.h"
#include "mm/reserve.h"
#include "mm/scratch.h"
#include "signal/signal.h"

enum vector {
    DIVIDE = 0,
    DEBUG = 1,
    BREAKPOINT = 3,
    BOUND = 5,
    OPCODE = 6,
    NOT_PRESENT = 11,
    STACK = 12,
    PROTECTION = 13,
    PAGE = 14,
    X87 = 16,
    ALIGNMENT = 17,
    SIMD = 19
};

#define PAGE_PRESENT 1u /* error code of a page fault */
#define PAGE_WRITE   2u

void fault(const struct program_registers *registers); /* entry.S */

static const struct udfvm_trap *trap_page(void)
{
    return (const struct udfvm_trap *)UDFVM_TRAP_BASE;
}

/* Returns si_code of an arithmetic exception. It is that of the lowest unmasked flag in `flags`:
 * Intel SDM volume 1, 8.7 and 11.5. */
static int arithmetic_code(uint32_t flags, uint32_t masks)
{
    const uint32_t raised = flags & ~masks;
    if (raised & 1)
        return FPE_FLTINV;
    if (raised & 4)
        return FPE_FLTDIV;
    if (raised & 8)
        return FPE_FLTOVF;
    if (raised & (2 | 16))
        return FPE_FLTUND;
    return raised & 32 ? FPE_FLTRES : FPE_FLTUNK;
}

static int x87_code(void)
{
    uint16_t control, status;
    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(control), "=a"(status));
    return arithmetic_code(status & 63, control & 63);
}

static int simd_code(void)
{
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return arithmetic_code(mxcsr & 63, mxcsr >> 7 & 63);
}

static bool on_kernel_stack(uint64_t rsp)
{
    if (rsp > UDFVM_TRAP_BASE + PAGE_SIZE && rsp <= UDFVM_BOOT_STACK)
        return true;
    return current && rsp > (uint64_t)current->xsave_area && rsp <= current->kernel_stack_top;
}

static void fault_in_kernel(const struct udfvm_trap *trap)
{
    char text[160];
    if (trap->rip == (uint64_t)program_entry) { /* where the program was to go on is no address */
        signal_force(current, SIGSEGV, SI_KERNEL, 0, trap);
        return;
    }
    if (current && current->delivering) {
        const struct signal_event event = {
            .number = SIGSEGV, .code = SI_KERNEL, .address = trap->cr2, .trap = trap
        };
        current->delivering = false;
        signal_die(current, &event);
    }
    const bool in_call = current && trap->rsp > (uint64_t)current->xsave_area;
    if (in_call && trap->vector == PAGE && trap->cr2 >= UDFVM_PROGRAM_BASE) {
        current->user.rax = (uint64_t)-EFAULT;
        return;
    }
    format(text, sizeof text,
           "exception %llu (error %llu) in the guest kernel at 0x%llx, address 0x%llx",
           (unsigned long long)trap->vector, (unsigned long long)trap->error_code,
           (unsigned long long)trap->rip, (unsigned long long)trap->cr2);
    kernel_panic(text);
}

static bool is_mapped(const struct udfvm_trap *trap)
{
    const uint64_t page = page_down(trap->cr2);
    return (trap->error_code & PAGE_PRESENT) ||
           (in_reserve(page, PAGE_SIZE) && range_is_mapped(page, page + PAGE_SIZE));
}

static void signal_for(const struct udfvm_trap *trap)
{
    switch (trap->vector) {
    case DIVIDE:
        signal_force(current, SIGFPE, FPE_INTDIV, trap->rip, trap);
        break;
    case DEBUG:
        signal_force(current, SIGTRAP, TRAP_TRACE, trap->rip, trap);
        break;
    case BREAKPOINT:
        signal_force(current, SIGTRAP, SI_KERNEL, 0, trap);
        break;
    case OPCODE:
        signal_force(current, SIGILL, ILL_ILLOPN, trap->rip, trap);
        break;
    case X87:
        signal_force(current, SIGFPE, x87_code(), trap->rip, trap);
        break;
    case SIMD:
        signal_force(current, SIGFPE, simd_code(), trap->rip, trap);
        break;
    case NOT_PRESENT:
    case STACK:
        signal_force(current, SIGBUS, SI_KERNEL, 0, trap);
        break;
    case ALIGNMENT:
        signal_force(current, SIGBUS, BUS_ADRALN, 0, trap);
        break;
    case PAGE:
        signal_force(current, SIGSEGV, is_mapped(trap) ? SEGV_ACCERR : SEGV_MAPERR, trap->cr2,
                     trap);
        break;
    default:
        signal_force(current, SIGSEGV, SI_KERNEL, 0, trap);
    }
}

/* entry.S calls this on the fault stack. The current thread then continues with its registers as
 * they are here. */
void fault(const struct program_registers *registers)
{
    const struct udfvm_trap trap = *trap_page();
    if (on_kernel_stack(trap.rsp)) {
        fault_in_kernel(&trap);
        return;
    }
    if (!current)
        kernel_panic("an exception before the program started");
    const bool opened = trap.vector == PAGE &&
                        (trap.error_code & PAGE_PRESENT
                             ? reserve_permits(trap.cr2, trap.error_code & PAGE_WRITE)
                             : scratch_open_for(trap.cr2) ||
                                   reserve_fill(trap.cr2, trap.error_code & PAGE_WRITE));
    current->user = *registers;
    current->user.rip = trap.rip;
    current->user.rsp = trap.rsp;
    current->user.rflags = trap.rflags;
    current->trapped = 0;
    if (opened)
        current->restore_all = 1;
    else
        signal_for(&trap);
}
