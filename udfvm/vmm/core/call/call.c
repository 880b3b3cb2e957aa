/* A call: the request goes into the input window, the vCPU runs until the guest completes. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <x86intrin.h>

#include "image/image.h"

#define DEFAULT_LOG               65536u
#define DETERMINISTIC_REALTIME_NS (946684800ll * 1000000000) /* 2000-01-01T00:00:00Z */

static const struct udfvm_limits no_limits = { .max_log = DEFAULT_LOG };

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Numbers of the program's process: till it is sealed, in deterministic calls, in others. Its other
 * threads have lower ones than calls. */
#define BUILD_PROCESS 2u
#define FIXED_PROCESS 0x10000u
#define FIRST_PROCESS 0x20000u
#define PROCESSES     0x200000u /* all below Linux's limit of 0x400000 */

/* What differs from call to call. */
struct fresh {
    uint8_t seed[32], random[16];
    uint32_t process;
    uint32_t reserved;
};

/* The kernel is asked for the randomness of many calls at once. */
static int take_fresh(struct udfvm_vm *vm, struct fresh *fresh, struct udfvm_error *error)
{
    if (vm->seeds_left < sizeof *fresh) {
        if (getrandom(vm->seeds, sizeof vm->seeds, 0) != (ssize_t)sizeof vm->seeds)
            return udfvm_fail_errno(error, "getrandom");
        vm->seeds_left = sizeof vm->seeds;
    }
    vm->seeds_left -= sizeof *fresh;
    memcpy(fresh, vm->seeds + vm->seeds_left, sizeof *fresh);
    memset(vm->seeds + vm->seeds_left, 0, sizeof *fresh);
    return UDFVM_OK;
}

static int fill_call_page(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                          struct udfvm_error *error)
{
    struct udfvm_call *call = udfvm_span_call_page(vm);
    const bool fixed = vm->limits.deterministic;
    const struct machine *machine = &vm->machine;
    const bool call_proper = request != UDFVM_REQUEST_BOOT &&
                             request !=
                                 UDFVM_REQUEST_LOAD; /* what is sealed must not lie in scratch */
    struct fresh fresh = { .process = 0 };
    int code = fixed ? UDFVM_OK : take_fresh(vm, &fresh, error);
    if (code != UDFVM_OK)
        return code;
    if (vm->state != VM_STOPPED) /* what goes on stays the same process */
        vm->process_id = !call_proper ? BUILD_PROCESS
                         : fixed      ? FIXED_PROCESS
                                      : FIRST_PROCESS + fresh.process % PROCESSES;
    const uint64_t window_end = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes;
    *call = (struct udfvm_call){
        .abi_version = UDFVM_ABI_VERSION,
        .request = request,
        .sequence = ++vm->sequence,
        .length = length,
        .output_size = vm->limits.max_output,
        .tsc_khz = vm->tsc_khz,
        .flags = (fixed ? UDFVM_CALL_DETERMINISTIC : 0) |
                 (machine->unlogged_open ? UDFVM_CALL_UNLOGGED_OPEN : 0) |
                 (vm->max_reply > vm->limits.max_output ? UDFVM_CALL_IN_PLACE : 0),
        .scratch_start = UDFVM_OUTPUT_BASE + machine->output_bytes,
        .scratch_end = call_proper ? window_end : UDFVM_OUTPUT_BASE + machine->output_bytes,
        .tsc_start = fixed ? 0 : __rdtsc(),
        .realtime_ns = fixed ? DETERMINISTIC_REALTIME_NS : clock_ns(CLOCK_REALTIME),
        .monotonic_ns = fixed ? 0 : clock_ns(CLOCK_MONOTONIC),
        .process_id = vm->process_id,
    };
    memcpy(call->seed, fresh.seed, sizeof call->seed);
    memcpy(call->random, fresh.random, sizeof call->random);
    explicit_bzero(&fresh, sizeof fresh);
    return UDFVM_OK;
}

int udfvm_vm_place_request(struct udfvm_vm *vm, uint32_t request, const void *input,
                           uint64_t length, struct udfvm_error *error)
{
    struct udfvm_call *call = udfvm_span_call_page(vm);
    int code = udfvm_span_send(vm, input, length, error);
    if (code != UDFVM_OK)
        return code;
    call->request = request;
    call->length = length;
    return UDFVM_OK;
}

/* For the call that begins, less what was waited for its VM. */
static uint64_t time_left(struct udfvm_vm *vm)
{
    const uint64_t timeout = vm->limits.timeout_ns, waited = vm->waited_ns;
    vm->waited_ns = 0;
    if (timeout == 0)
        return 0;
    return timeout > waited ? timeout - waited : 1;
}

int udfvm_vm_request(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                     const struct udfvm_limits *limits, struct udfvm_error *error)
{
    vm->limits = limits ? *limits : no_limits;
    vm->max_reply = vm->limits.max_output ? vm->limits.max_output
                                          : UDFVM_LOGGED_OUTPUT + vm->machine.unlogged_bytes;
    if (vm->limits.max_output == 0 || vm->limits.max_output > vm->machine.output_bytes)
        vm->limits.max_output = vm->machine.output_bytes;
    if (length >= UDFVM_LOGGED_OUTPUT / 2)
        udfvm_unlogged_open(vm); /* its reply is likely as large: this spares the guest to ask */
    vm->reply_length = 0;
    int code = udfvm_span_send(vm, input, length, error);
    if (code == UDFVM_OK)
        code = udfvm_unlogged_settle(vm, error);
    if (code == UDFVM_OK)
        code = fill_call_page(vm, request, length, error);
    vm->deadline.looks = vm->watch != NULL;
    if (code == UDFVM_OK && vm->signals_shut) {
        code = udfvm_hypervisor_block_signals(vm->machine.hypervisor, NULL, error);
        vm->signals_shut = code != UDFVM_OK;
    }
    return code == UDFVM_OK
               ? udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, time_left(vm), error)
               : code;
}

bool udfvm_vm_watched_out(struct udfvm_vm *vm)
{
    return vm->watch && vm->watch(vm->watch_context) != 0;
}

int udfvm_vm_timed_out(const struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->deadline.of_outer)
        return udfvm_fail(error, UDFVM_E_TIMEOUT,
                          "the call did not end by the deadline of the call that it is part of");
    return udfvm_fail(error, UDFVM_E_TIMEOUT, "the call did not end within %.3g s",
                      (double)vm->limits.timeout_ns / 1e9);
}

static int interrupted_run(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (udfvm_signals_settle(vm->machine.hypervisor))
        vm->signals_shut = true;
    if (vm->stream)
        return udfvm_stream_look(vm, error);
    if (atomic_load_explicit(&vm->deadline.expired, memory_order_relaxed))
        return udfvm_vm_timed_out(vm, error);
    bool stopped = false;
    udfvm_vm_out(vm);
    if (atomic_load_explicit(&vm->deadline.due, memory_order_relaxed)) {
        stopped = udfvm_vm_watched_out(vm);
        if (!stopped && !udfvm_vm_forked(vm))
            udfvm_deadline_looked(&vm->deadline);
    }
    stopped = stopped || udfvm_interrupted();
    udfvm_vm_in(vm);
    if (udfvm_vm_forked(vm))
        return udfvm_vm_fail_forked(error);
    return stopped ? udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted") : UDFVM_OK;
}

static int completed(struct udfvm_vm *vm, const struct registers *regs, struct udfvm_reply *reply,
                     struct udfvm_error *error)
{
    const bool in_place = regs->rdi == UDFVM_STATUS_IN_PLACE &&
                          vm->max_reply > vm->limits.max_output;
    if (regs->rdi > UDFVM_STATUS_ERROR && !in_place)
        return udfvm_fail(error, UDFVM_E_PROTOCOL,
                          "the guest completed with a status that makes no sense");
    const uint64_t reachable = UDFVM_LOGGED_OUTPUT +
                               (vm->machine.unlogged_open ? vm->machine.unlogged_bytes : 0);
    const uint64_t most = in_place ? vm->max_reply : vm->limits.max_output;
    if (regs->rsi > most ||
        regs->rsi > reachable) { /* also what would have to be larger than the window */
        udfvm_fail(error, UDFVM_E_OUTPUT,
                   "the result of %llu bytes is larger than the limit of %llu bytes",
                   (unsigned long long)regs->rsi, (unsigned long long)vm->limits.max_output);
        error->address = regs->rsi;
        return UDFVM_E_OUTPUT;
    }
    reply->status = in_place ? UDFVM_STATUS_OK : (int)regs->rdi;
    reply->data = vm->machine.output;
    reply->length = vm->reply_length = regs->rsi;
    return UDFVM_OK;
}

int udfvm_vm_run_vcpu(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct hypervisor *hypervisor = vm->machine.hypervisor;
    for (;;) {
        vm->exits++;
        atomic_store(&vm->deadline.entered, true);
        const enum hypervisor_exit last = udfvm_hypervisor_run(hypervisor);
        atomic_store_explicit(&vm->deadline.entered, false, memory_order_release);
        if (last == EXIT_INTERRUPTED) {
            if (interrupted_run(vm, error) != UDFVM_OK)
                return HYPERCALL_FAILED;
            continue;
        }
        if (last != EXIT_HYPERCALL) {
            udfvm_hypervisor_fail_exit(hypervisor, last, error);
            vm->unfit = true;
            return HYPERCALL_FAILED;
        }
        vm->begun = true;
        const int kind = udfvm_hypercall(vm, vm->machine.registers, error);
        if (kind != HYPERCALL_CONTINUE)
            return kind;
        udfvm_hypervisor_load_registers(hypervisor);
    }
}

int udfvm_vm_run(struct udfvm_vm *vm, struct udfvm_reply *reply, struct udfvm_error *error)
{
    struct udfvm_error local = { .code = UDFVM_OK };
    *reply = (struct udfvm_reply){ .sealed = 0 };
    int kind = udfvm_vm_run_vcpu(vm, &local);
    udfvm_deadline_stop(&vm->deadline);
    int code = local.code;
    if (code == UDFVM_E_FORKED) { /* nothing of the VM is here any more */
        if (error)
            *error = local;
        return code;
    }
    if (kind == HYPERCALL_COMPLETE)
        code = completed(vm, vm->machine.registers, reply, &local);
    reply->sealed = kind == HYPERCALL_SEAL;
    code = udfvm_log_give(vm, code, reply->status == UDFVM_STATUS_ERROR, &local);
    reply->log = vm->log.text;
    reply->log_length = vm->log.length;
    if (vm->state != VM_UNSEALED)
        vm->state = code == UDFVM_OK ? VM_STOPPED : VM_BROKEN;
    if (code != UDFVM_OK && error)
        *error = local;
    return code;
}

/* KVM would not enter the VM: the call is made on a new one, on the same memory, once. */
static int try_again(struct udfvm_vm *vm, int refused, struct udfvm_reply *reply,
                     struct udfvm_error *error)
{
    struct udfvm_error local;
    int code = udfvm_vm_collect_dirty(vm, &local);
    if (code == UDFVM_OK)
        code = udfvm_vm_restore_memory(vm, &local);
    if (code == UDFVM_OK)
        code = udfvm_vm_restore_processor(vm, &local);
    if (code == UDFVM_OK)
        code = udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, vm->limits.timeout_ns,
                                    &local);
    if (code != UDFVM_OK)
        return refused; /* as `error` says */
    udfvm_error_clear(error);
    udfvm_vm_enter_sealed(vm);
    return udfvm_vm_run(vm, reply, error);
}

int udfvm_vm_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                  const struct udfvm_limits *limits, struct udfvm_reply *reply,
                  struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (udfvm_vm_check(vm, error) != UDFVM_OK)
        return UDFVM_E_FORKED;
    if (vm->stream || (vm->state != VM_SEALED && vm->state != VM_STOPPED))
        return udfvm_fail(error, UDFVM_E_ARGUMENT, "the VM must be restored before the next call");
    int code = udfvm_vm_request(vm, request, input, length, limits, error);
    if (code != UDFVM_OK)
        return code;
    if (vm->state == VM_SEALED) {
        udfvm_vm_enter_sealed(vm);
        vm->begun = false;
        vm->exchanges = 0;
        vm->host_calls = 0;
        vm->calls++;
    } else {
        vm->machine.registers->rax = 0; /* complete() returns: here is the next request */
        udfvm_hypervisor_load_registers(vm->machine.hypervisor);
    }
    code = udfvm_vm_run(vm, reply, error);
    if (code != UDFVM_OK && code != UDFVM_E_FORKED && udfvm_vm_never_began(vm))
        code = try_again(vm, code, reply, error);
    if (code == UDFVM_OK && reply->sealed && request != UDFVM_REQUEST_LOAD) {
        vm->state = VM_BROKEN;
        code = udfvm_fail(error, UDFVM_E_PROTOCOL, "the guest asked to be sealed in a call");
    }
    return code;
}

int udfvm_vm_fresh_call(udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                        const struct udfvm_limits *limits, void *output, uint64_t capacity,
                        uint64_t *output_length, int *status, struct udfvm_error *error)
{
    struct udfvm_reply reply;
    struct udfvm_error restore_error;
    int code = udfvm_vm_call(vm, request, input, length, limits, &reply, error);
    if (code == UDFVM_OK) {
        *status = reply.status;
        *output_length = reply.length;
        if (reply.length > capacity)
            code = udfvm_fail(error, UDFVM_E_OUTPUT,
                              "the result of %llu bytes is larger than the buffer of %llu bytes",
                              (unsigned long long)reply.length, (unsigned long long)capacity);
        else
            memcpy(output, reply.data, reply.length);
    }
    int restored = udfvm_vm_restore(vm, &restore_error);
    if (code == UDFVM_OK && restored != UDFVM_OK && error)
        *error = restore_error;
    return code != UDFVM_OK ? code : restored;
}
