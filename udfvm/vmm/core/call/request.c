/* Giving a request to the guest: the call page and the input window. */
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "call/exchange.h"

#define DEFAULT_LOG               65536u
#define DETERMINISTIC_REALTIME_NS (946684800ll * 1000000000) /* 2000-01-01T00:00:00Z */

static const struct udfvm_limits no_limits = { .max_log = DEFAULT_LOG };

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

static uint32_t process_number(bool sealed, bool deterministic, uint32_t random)
{
    if (!sealed)
        return BUILD_PROCESS;
    return deterministic ? FIXED_PROCESS : FIRST_PROCESS + random % PROCESSES;
}

static uint32_t call_flags(const struct udfvm_vm *vm)
{
    return (vm->limits.deterministic ? UDFVM_CALL_DETERMINISTIC : 0) |
           (vm->machine.unlogged_open ? UDFVM_CALL_UNLOGGED_OPEN : 0) |
           (vm->max_reply > vm->limits.max_output ? UDFVM_CALL_IN_PLACE : 0) |
           (vm->machine.data ? UDFVM_CALL_DATA : 0);
}

static void set_clocks(struct udfvm_call *call, bool deterministic)
{
    call->tsc_start = deterministic ? 0 : __rdtsc();
    call->realtime_ns = deterministic ? DETERMINISTIC_REALTIME_NS : (int64_t)udfvm_realtime_ns();
    call->monotonic_ns = deterministic ? 0 : (int64_t)udfvm_monotonic_ns();
}

static int fill_call_page(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                          struct udfvm_error *error)
{
    struct udfvm_call *call = udfvm_span_call_page(&vm->memory);
    const struct machine *machine = &vm->machine;
    /* What is sealed must not lie in scratch. */
    const bool sealed = request != UDFVM_REQUEST_BOOT && request != UDFVM_REQUEST_LOAD;
    const uint64_t window_end = UDFVM_OUTPUT_BASE + machine->output_bytes;
    const uint64_t unlogged_end = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT + machine->unlogged_bytes;
    struct fresh fresh = { .process = 0 };
    if (!vm->limits.deterministic)
        UDFVM_TRY(take_fresh(vm, &fresh, error));
    if (vm->state != VM_STOPPED) /* what goes on stays the same process */
        vm->process_id = process_number(sealed, vm->limits.deterministic, fresh.process);
    *call = (struct udfvm_call){
        .abi_version = UDFVM_ABI_VERSION,
        .sequence = ++vm->sequence,
        .length = length,
        .request = request,
        .payload = UDFVM_INPUT_PAYLOAD - UDFVM_INPUT_BASE,
        .output_size = vm->limits.max_output,
        .tsc_khz = vm->tsc_khz,
        .flags = call_flags(vm),
        .scratch_start = window_end,
        .scratch_end = sealed ? unlogged_end : window_end,
        .process_id = vm->process_id,
    };
    set_clocks(call, vm->limits.deterministic);
    memcpy(call->seed, fresh.seed, sizeof call->seed);
    memcpy(call->random, fresh.random, sizeof call->random);
    explicit_bzero(&fresh, sizeof fresh);
    return UDFVM_OK;
}

_Static_assert(sizeof(struct udfvm_call) == UDFVM_SHORT_PAYLOAD - UDFVM_INPUT_BASE &&
                   offsetof(struct udfvm_call, stream_request) % 64 == 0,
               "a short payload lies in the cache line of its request's number");

/* Payloads of Arrow want more alignment. */
static bool is_short(uint32_t request, const void *input, uint64_t length)
{
    return input && length <= UDFVM_MAX_SHORT && request != UDFVM_REQUEST_BATCH;
}

int udfvm_vm_place_request(struct udfvm_vm *vm, uint32_t request, const void *input,
                           uint64_t length, struct udfvm_error *error)
{
    struct udfvm_call *call = udfvm_span_call_page(&vm->memory);
    const bool beside = is_short(request, input, length);
    udfvm_vm_place_short(vm, beside ? input : NULL, beside ? length : 0);
    UDFVM_TRY(udfvm_span_send(&vm->memory, beside ? NULL : input, beside ? 0 : length, error));
    call->request = request;
    call->length = length;
    call->payload = (uint32_t)((beside ? UDFVM_SHORT_PAYLOAD : UDFVM_INPUT_PAYLOAD) -
                               UDFVM_INPUT_BASE);
    return UDFVM_OK;
}

void udfvm_vm_place_short(struct udfvm_vm *vm, const void *input, uint64_t length)
{
    uint8_t *payload = (uint8_t *)(udfvm_span_call_page(&vm->memory) + 1);
    if (length)
        memcpy(payload, input, length);
    if (vm->short_length > length)
        memset(payload + length, 0, vm->short_length - length);
    vm->short_length = length;
}

uint64_t udfvm_vm_time_left(struct udfvm_vm *vm)
{
    const uint64_t timeout = vm->limits.timeout_ns, waited = vm->waited_ns;
    vm->waited_ns = 0;
    if (timeout == 0)
        return 0;
    return timeout > waited ? timeout - waited : 1;
}

/* The frame stays in vm->limits as it is of this request, and is in their max_output. */
static void set_limits(struct udfvm_vm *vm, uint32_t request, const struct udfvm_limits *limits)
{
    vm->limits = limits ? *limits : no_limits;
    vm->opened_files = false;
    if (vm->limits.max_output == 0)
        vm->limits.reply_frame = 0;
    else if (vm->limits.reply_frame && request == UDFVM_REQUEST_ROW)
        vm->limits.reply_frame = sizeof(struct udfvm_value);
    vm->limits.max_output += vm->limits.reply_frame;
    vm->max_reply = vm->limits.max_output ? vm->limits.max_output
                                          : UDFVM_LOGGED_OUTPUT + vm->machine.unlogged_bytes;
    if (vm->limits.max_output == 0 || vm->limits.max_output > vm->machine.output_bytes)
        vm->limits.max_output = vm->machine.output_bytes;
}

static int settle_unlogged(struct udfvm_vm *vm, struct udfvm_error *error)
{
    const int code = udfvm_unlogged_settle(&vm->memory, error);
    if (code != UDFVM_OK)
        vm->state = VM_BROKEN;
    return code;
}

/* Signals that an earlier call's thread blocked end entries again. */
static int admit_signals(struct udfvm_vm *vm, struct udfvm_error *error)
{
    if (vm->signals_shut)
        UDFVM_TRY(udfvm_hypervisor_block_signals(vm->machine.hypervisor, NULL, error));
    vm->signals_shut = false;
    return UDFVM_OK;
}

int udfvm_vm_place(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                   const struct udfvm_limits *limits, struct udfvm_error *error)
{
    set_limits(vm, request, limits);
    vm->reply_length = 0;
    return udfvm_span_send(&vm->memory, input, length, error);
}

const struct udfvm_timer *udfvm_vm_timer(const struct udfvm_vm *vm)
{
    return vm->limits.deterministic ? NULL : udfvm_machine_timer(&vm->machine);
}

int udfvm_vm_request(struct udfvm_vm *vm, uint32_t request, const void *input, uint64_t length,
                     const struct udfvm_limits *limits, struct udfvm_error *error)
{
    if (length >=
        UDFVM_LOGGED_OUTPUT / 2) /* its reply is likely as large: the guest need not ask */
        UDFVM_TRY(udfvm_unlogged_open(&vm->memory, error));
    /* Also for signals: one that arrives before the guest is entered, or on another thread, does
     * not stop the vCPU. Where another process keeps the deadline, it looks, and interrupts a
     * program that asks for it, too. */
    const bool keeps = !vm->machine.shared;
    vm->deadline.looks = keeps && (vm->watch || udfvm_may_be_interrupted());
    UDFVM_TRY(udfvm_vm_place(vm, request, input, length, limits, error));
    vm->deadline.ticker.timer = keeps ? udfvm_vm_timer(vm) : NULL;
    UDFVM_TRY(settle_unlogged(vm, error));
    UDFVM_TRY(fill_call_page(vm, request, length, error));
    UDFVM_TRY(admit_signals(vm, error));
    return udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, udfvm_vm_time_left(vm),
                                error);
}
