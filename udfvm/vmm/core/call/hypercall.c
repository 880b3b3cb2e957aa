/* Serving hypercalls. Arguments are registers, so they cannot change under us; what they point to
 * is copied before it is looked at. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "signal_names.h"

#include "base/error.h"
#include "base/process.h"
#include "call/hypercall.h"
#include "call/vcpu_thread.h"
#include "call/vm.h"

static int seal(struct udfvm_vm *vm, const struct registers *regs, struct udfvm_error *error)
{
    const void *from = udfvm_machine_address(&vm->machine, regs->rdi, sizeof *vm->seal_info);
    if (!vm->seal_info)
        vm->seal_info = malloc(sizeof *vm->seal_info);
    if (!vm->seal_state)
        vm->seal_state = malloc(sizeof *vm->seal_state);
    if (!from || !vm->seal_info || !vm->seal_state) {
        udfvm_fail(error, from ? UDFVM_E_SYSTEM : UDFVM_E_PROTOCOL,
                   from ? "out of memory" : "seal: bad address");
        return HYPERCALL_FAILED;
    }
    struct udfvm_seal_info *info = vm->seal_info;
    struct sealed_state *state = vm->seal_state;
    memcpy(info, from, sizeof *info);
    const void *xsave = info->xsave_length <= MAX_XSAVE
                            ? udfvm_machine_address(&vm->machine, info->xsave_area,
                                                    info->xsave_length)
                            : NULL;
    if (!xsave || info->xsave_length < 576) { /* legacy region and header */
        udfvm_fail(error, UDFVM_E_PROTOCOL, "seal: bad XSAVE area");
        return HYPERCALL_FAILED;
    }
    if (info->unknown_count > UDFVM_MAX_UNKNOWN_SYSCALLS)
        info->unknown_count = UDFVM_MAX_UNKNOWN_SYSCALLS;
    *state = (struct sealed_state){
        .registers = *regs,
        .resume_rip = info->resume_rip,
        .fs_base = info->fs_base,
        .gs_base = info->gs_base,
        .xsave_length = info->xsave_length,
    };
    state->registers.rip = 0; /* see udfvm_vm_enter_sealed, also for the flags */
    memcpy(state->xsave, xsave, info->xsave_length);
    return HYPERCALL_SEAL;
}

/* For a crash whose cause is not known, but at most the file of the instruction. */
#define CRASH_ADVICE                                                                            \
    "; look for a fault in native code that the function runs, such as an extension module, "   \
    "ctypes or a compiled library; in Python, faulthandler.enable() prints the lines that led " \
    "there"

static void copy_text(char *to, size_t size, const struct udfvm_crash *crash)
{
    size_t length = crash->text_length < sizeof crash->text ? crash->text_length
                                                            : sizeof crash->text;
    length = length < size - 1 ? length : size - 1;
    for (size_t i = 0; i < length; i++)
        to[i] = crash->text[i] >= ' ' && crash->text[i] < 127 ? crash->text[i] : ' ';
    to[length] = 0;
}

/* A fault of the program, or abort(3), has an instruction to look at; other signals were sent, and
 * a micro-VM has one process. */
static void ended_by_signal(int number, const struct udfvm_crash *crash, const char *text,
                            struct udfvm_error *error)
{
    static const int faults[] = { SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
    const char *name = signal_name(number) ? signal_name(number) : "unknown";
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (number == faults[i]) {
            udfvm_fail(error, UDFVM_E_CRASH,
                       "the guest program crashed: signal %d (%s) at %#llx, address %#llx%s%s%s",
                       number, name, (unsigned long long)crash->rip,
                       (unsigned long long)crash->address, text[0] ? ": " : "", text,
                       !text[0] || text[0] == '/' ? CRASH_ADVICE : "");
            return;
        }
    udfvm_fail(error, UDFVM_E_CRASH, "signal %d (%s) ended the guest program%s%s; %s", number, name,
               text[0] ? ": " : "", text,
               number == SIGXFSZ
                   ? "it wrote more to a file than the limit (RLIMIT_FSIZE) that it had set permits"
                   : "only the function itself, or code that it calls, can have sent it or set a "
                     "timer that did");
}

static void exited(struct udfvm_vm *vm, const struct registers *regs, struct udfvm_error *error)
{
    struct udfvm_crash crash = { .text_length = 0 };
    char text[256];
    const void *from = udfvm_machine_address(&vm->machine, regs->rdx, sizeof crash);
    if (from)
        memcpy(&crash, from, sizeof crash);
    copy_text(text, sizeof text, &crash);
    const int number = (int)(uint8_t)regs->rsi;
    switch (regs->rdi) {
    case UDFVM_EXIT_STATUS:
        udfvm_fail(error, UDFVM_E_EXIT, "the guest program ended with exit status %d%s%s", number,
                   text[0] ? ": " : "", text);
        break;
    case UDFVM_EXIT_SIGNAL:
        ended_by_signal(number, &crash, text, error);
        break;
    case UDFVM_EXIT_DEADLOCK:
        udfvm_fail(
            error, UDFVM_E_DEADLOCK,
            "every thread of the guest program waits for ever: look for a lock that is taken "
            "twice, or a queue that nobody fills (%s)",
            text);
        break;
    default:
        udfvm_fail(error, UDFVM_E_PROTOCOL, "the guest kernel gave up: %s", text);
    }
    if (error) {
        error->signal = number;
        error->address = crash.address;
        error->rip = crash.rip;
    }
}

static void ask_interrupted(void *context)
{
    *(bool *)context = udfvm_interrupted();
}

static int serve_files(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    udfvm_vm_out(vm);
    const int64_t result = udfvm_file_hypercall(vm, regs);
    bool interrupted = false;
    if (result == -EINTR)
        udfvm_outside(vm, ask_interrupted, &interrupted);
    udfvm_vm_in(vm);
    if (udfvm_vm_forked(vm)) { /* by a signal handler that ran in the embedder's code */
        udfvm_vm_fail_forked(error);
        return HYPERCALL_FAILED;
    }
    if (interrupted) {
        udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted");
        return HYPERCALL_FAILED;
    }
    regs->rax = (uint64_t)result;
    return HYPERCALL_CONTINUE;
}

struct opening {
    struct guest_memory *memory;
    struct udfvm_error *error;
    int code;
};

static void open_memory(void *context)
{
    struct opening *opening = context;
    opening->code = udfvm_unlogged_open(opening->memory, opening->error);
}

static int open_unlogged(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    struct opening opening = { &vm->memory, error, UDFVM_OK };
    udfvm_outside(vm, open_memory, &opening);
    if (opening.code != UDFVM_OK)
        return HYPERCALL_FAILED;
    regs->rax = vm->machine.unlogged_open ? 0 : (uint64_t)-1;
    return HYPERCALL_CONTINUE;
}

struct opened_reserve {
    struct machine *machine;
    struct udfvm_error *error;
    int code;
};

static void open_reserve(void *context)
{
    struct opened_reserve *opening = context;
    opening->code = udfvm_reserve_open(opening->machine, opening->error);
}

/* The first time a pool of page tables is made, which a thread behind the filter cannot do. */
static int map(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    struct opened_reserve opening = { &vm->machine, error, UDFVM_OK };
    if (!vm->machine.reserve.tables && regs->r10 != UDFVM_MAP_NOTHING)
        udfvm_outside(vm, open_reserve, &opening);
    if (opening.code != UDFVM_OK)
        return HYPERCALL_FAILED;
    const int64_t result = udfvm_reserve_map(&vm->machine, regs->rdi, regs->rsi, regs->rdx,
                                             regs->r10, error);
    regs->rax = (uint64_t)result;
    vm->unfit = vm->unfit || result == -EIO; /* KVM may know of what is no longer there */
    return result == -EIO ? HYPERCALL_FAILED : HYPERCALL_CONTINUE;
}

int udfvm_hypercall(struct udfvm_vm *vm, struct registers *regs, struct udfvm_error *error)
{
    switch (regs->rax) {
    case UDFVM_HYPERCALL_COMPLETE:
        return HYPERCALL_COMPLETE;
    case UDFVM_HYPERCALL_SEAL:
        return seal(vm, regs, error);
    case UDFVM_HYPERCALL_EXIT:
        exited(vm, regs, error);
        return HYPERCALL_FAILED;
    case UDFVM_HYPERCALL_LOG:
        return udfvm_log_hypercall(vm, regs, error);
    case UDFVM_HYPERCALL_OPEN_UNLOGGED:
        return open_unlogged(vm, regs, error);
    case UDFVM_HYPERCALL_HOST_CALL:
        return udfvm_host_call(vm, regs, error);
    case UDFVM_HYPERCALL_MAP:
        return map(vm, regs, error);
    case UDFVM_HYPERCALL_FILE_OPEN ... UDFVM_HYPERCALL_FILE_READLINK:
        return serve_files(vm, regs, error);
    default:
        udfvm_fail(error, UDFVM_E_PROTOCOL,
                   "the guest made a hypercall that does not exist (%#llx)",
                   (unsigned long long)regs->rax);
        return HYPERCALL_FAILED;
    }
}
