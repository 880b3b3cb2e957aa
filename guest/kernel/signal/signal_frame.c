/* Signal frames on the program's stack, laid out like those of Linux on x86-64 (System V ABI;
 * linux/arch/x86/include/asm/sigframe.h): return address, ucontext, siginfo, and above them the
 * XSAVE image, aligned to 64 bytes. */
#include "arch/processor.h"
#include "lib/string.h"
#include "mm/user.h"
#include "signal/signal.h"

#define RED_ZONE                 128u
#define FLAGS_OF_PROGRAM         0x54dd5u /* CF PF AF ZF SF TF DF OF NT RF AC */
#define FLAGS_CLEARED_IN_HANDLER 0x50500u /* TF DF RF AC */
#define MXCSR_BITS               0xffffu
#define LEGACY_SIZE              512u /* of an XSAVE image; its header follows */
#define HEADER_SIZE              64u
#define MIN_STACK                2048u

struct signal_frame {
    uint64_t return_address;
    struct ucontext context;
    siginfo_t info;
};

/* The vector state that a program starts with. */
static const struct {
    uint16_t control_word;
    uint8_t unused[22];
    uint32_t mxcsr;
    uint8_t rest[LEGACY_SIZE + HEADER_SIZE - 28];
} __attribute__((aligned(64))) initial_state = { .control_word = 0x37f, .mxcsr = 0x1f80 };

static bool on_alternate_stack(const struct thread *thread)
{
    const stack_t *stack = &thread->alternate_stack;
    return !(stack->ss_flags & SS_DISABLE) &&
           thread->user.rsp - (uint64_t)stack->ss_sp - 1 < stack->ss_size;
}

static uint64_t stack_for(const struct thread *thread, const struct sigaction *action)
{
    const stack_t *stack = &thread->alternate_stack;
    if ((action->sa_flags & SA_ONSTACK) && !(stack->ss_flags & SS_DISABLE) &&
        !on_alternate_stack(thread))
        return (uint64_t)stack->ss_sp + stack->ss_size;
    return thread->user.rsp - RED_ZONE;
}

static void save_registers(struct sigcontext *to, const struct program_registers *from,
                           const struct signal_event *event)
{
    uint16_t cs, ss;
    __asm__("movw %%cs, %0\n\tmovw %%ss, %1" : "=r"(cs), "=r"(ss));
    *to = (struct sigcontext){
        .r8 = from->r8,
        .r9 = from->r9,
        .r10 = from->r10,
        .r11 = from->r11,
        .r12 = from->r12,
        .r13 = from->r13,
        .r14 = from->r14,
        .r15 = from->r15,
        .rdi = from->rdi,
        .rsi = from->rsi,
        .rbp = from->rbp,
        .rbx = from->rbx,
        .rdx = from->rdx,
        .rax = from->rax,
        .rcx = from->rcx,
        .rsp = from->rsp,
        .rip = from->rip,
        .eflags = from->rflags,
        .cs = cs,
        .ss = ss,
    };
    if (event->trap) {
        to->err = event->trap->error_code;
        to->trapno = event->trap->vector;
        to->cr2 = event->trap->cr2;
    }
}

static void save_vector_state(uint8_t *area)
{
    struct _fpx_sw_bytes software = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(xsave_size() + FP_XSTATE_MAGIC2_SIZE),
        .xfeatures = xsave_components(),
        .xstate_size = (uint32_t)xsave_size(),
    };
    const uint32_t magic2 = FP_XSTATE_MAGIC2;
    memset(area, 0, LEGACY_SIZE + HEADER_SIZE);
    xsave(area);
    memcpy(area + LEGACY_SIZE - sizeof software, &software, sizeof software);
    memcpy(area + xsave_size(), &magic2, sizeof magic2);
}

static void fill_info(siginfo_t *info, const struct signal_event *event)
{
    memset(info, 0, sizeof *info);
    info->si_signo = event->number;
    info->si_code = event->code;
    if (event->trap) {
        info->si_addr = (void *)event->address;
    } else {
        info->si_pid = event->sender;
        info->si_overrun = event->overrun;
        info->si_value.sival_ptr = (void *)event->address;
    }
}

static void enter_handler(struct thread *thread, const struct sigaction *action,
                          const struct signal_event *event, struct signal_frame *frame)
{
    struct program_registers *user = &thread->user;
    user->rax = 0;
    user->rdi = (uint64_t)event->number;
    user->rsi = (uint64_t)&frame->info;
    user->rdx = (uint64_t)&frame->context;
    user->rsp = (uint64_t)frame;
    user->rip = (uint64_t)action->sa_handler;
    user->rflags &= ~(uint64_t)FLAGS_CLEARED_IN_HANDLER;
    thread->restore_all = 1;
    xrstor(&initial_state);
}

void signal_push_frame(struct thread *thread, const struct sigaction *action,
                       const struct signal_event *event)
{
    const uint64_t top = stack_for(thread, action);
    const uint64_t area = (top - xsave_size() - FP_XSTATE_MAGIC2_SIZE) & ~63ull;
    /* At a function's entry the stack pointer is an odd multiple of 8 (System V ABI, 3.2.2). */
    struct signal_frame *frame = (struct signal_frame *)(((area - sizeof *frame) & ~15ull) - 8);
    const bool overflows = on_alternate_stack(thread) &&
                           (uint64_t)frame < (uint64_t)thread->alternate_stack.ss_sp;
    if (!user_range_ok((uint64_t)frame, top - (uint64_t)frame) || overflows ||
        !(action->sa_flags & SA_RESTORER)) {
        const struct signal_event dead = {
            .number = SIGSEGV, .code = SI_KERNEL, .address = (uint64_t)frame, .trap = event->trap
        };
        signal_die(thread, &dead);
    }
    thread->delivering = true;
    save_vector_state((uint8_t *)area);
    frame->return_address = (uint64_t)action->sa_restorer;
    frame->context.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    frame->context.uc_link = NULL;
    frame->context.uc_stack = thread->alternate_stack;
    frame->context.uc_sigmask = thread->suspended ? thread->suspended_mask : thread->blocked;
    thread->suspended = false;
    save_registers(&frame->context.uc_mcontext, &thread->user, event);
    frame->context.uc_mcontext.fpstate = (struct _fpstate *)area;
    fill_info(&frame->info, event);
    thread->delivering = false;
    enter_handler(thread, action, event, frame);
}

/* A handler may have written anything into its frame, and XRSTOR faults on reserved bits. */
static bool restore_vector_state(uint8_t *area)
{
    struct _fpx_sw_bytes software;
    uint64_t header[HEADER_SIZE / 8] = { 0 };
    uint32_t mxcsr;
    if (!area) {
        xrstor(&initial_state);
        return true;
    }
    if (((uint64_t)area & 63) || !user_range_ok((uint64_t)area, xsave_size()))
        return false;
    memcpy(&software, area + LEGACY_SIZE - sizeof software, sizeof software);
    if (software.magic1 != FP_XSTATE_MAGIC1 || software.xstate_size != xsave_size())
        return false;
    memcpy(&header[0], area + LEGACY_SIZE, sizeof header[0]);
    header[0] &= xsave_components();
    memcpy(area + LEGACY_SIZE, header, sizeof header);
    memcpy(&mxcsr, area + 24, sizeof mxcsr);
    mxcsr &= MXCSR_BITS;
    memcpy(area + 24, &mxcsr, sizeof mxcsr);
    xrstor(area);
    return true;
}

SYSTEM_CALL(rt_sigreturn)
{
    struct thread *self = current;
    const struct signal_frame *frame = (const struct signal_frame *)(self->user.rsp - 8);
    const struct signal_event bad = { .number = SIGSEGV, .code = SI_KERNEL };
    if (!user_range_ok((uint64_t)frame, sizeof *frame))
        signal_die(self, &bad);
    self->delivering = true;
    const struct sigcontext from = frame->context.uc_mcontext;
    if (!restore_vector_state((uint8_t *)from.fpstate))
        signal_die(self, &bad);
    self->alternate_stack = frame->context.uc_stack;
    signal_set_mask(self, frame->context.uc_sigmask);
    self->delivering = false;
    self->user = (struct program_registers){
        .rax = from.rax,
        .rcx = from.rcx,
        .rdx = from.rdx,
        .rbx = from.rbx,
        .rsp = from.rsp,
        .rbp = from.rbp,
        .rsi = from.rsi,
        .rdi = from.rdi,
        .r8 = from.r8,
        .r9 = from.r9,
        .r10 = from.r10,
        .r11 = from.r11,
        .r12 = from.r12,
        .r13 = from.r13,
        .r14 = from.r14,
        .r15 = from.r15,
        .rip = from.rip,
        .rflags = (from.eflags & FLAGS_OF_PROGRAM) | RFLAGS_AT_START,
    };
    self->restore_all = 1;
    self->keep_registers = true;
    return 0;
}

static int64_t set_alternate_stack(struct thread *thread, const stack_t *wanted)
{
    if (on_alternate_stack(thread))
        return -EPERM;
    if (wanted->ss_flags & ~(SS_DISABLE | SS_ONSTACK))
        return -EINVAL;
    if (!(wanted->ss_flags & SS_DISABLE) && wanted->ss_size < MIN_STACK)
        return -ENOMEM;
    thread->alternate_stack = *wanted;
    thread->alternate_stack.ss_flags &= SS_DISABLE;
    return 0;
}

SYSTEM_CALL(sigaltstack)
{
    struct thread *self = current;
    if ((a && !user_range_ok(a, sizeof(stack_t))) || (b && !user_range_ok(b, sizeof(stack_t))))
        return -EFAULT;
    const stack_t old = self->alternate_stack;
    const int64_t error = a ? set_alternate_stack(self, (const stack_t *)a) : 0;
    if (error)
        return error;
    if (b) {
        *(stack_t *)b = old;
        ((stack_t *)b)->ss_flags = old.ss_flags & SS_DISABLE  ? SS_DISABLE
                                   : on_alternate_stack(self) ? SS_ONSTACK
                                                              : 0;
    }
    return 0;
}
