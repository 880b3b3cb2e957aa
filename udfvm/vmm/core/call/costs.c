/* See costs.h. */
#include "call/costs.h"

#include "udfvm_abi.h"

#include "base/account.h"
#include "base/clock.h"
#include "base/pages.h"
#include "call/vm.h"

static uint64_t exits_of(const struct udfvm_vm *vm)
{
    struct udfvm_vm_statistics statistics;
    udfvm_vm_statistics(vm, &statistics);
    return statistics.exits;
}

void udfvm_costs_begin(struct udfvm_vm *vm, uint64_t since)
{
    vm->costs = (struct costs){ .since = since, .exits = exits_of(vm) };
}

void udfvm_vm_tell(udfvm_vm *vm, uint64_t rows, int whole)
{
    vm->costs.rows += rows;
    vm->costs.after = whole ? PHASE_COPY : PHASE_HOST;
}

void udfvm_costs_exchange(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                          const struct udfvm_limits *limits)
{
    struct costs *costs = &vm->costs;
    if (vm->state == VM_SEALED && costs->exchanges == 0 && limits && limits->account)
        costs->account = udfvm_account_retain(limits->account);
    costs->exchanges++;
    costs->input += length;
    costs->rows += request == UDFVM_REQUEST_ROW;
}

void udfvm_costs_placing(struct udfvm_vm *vm)
{
    if (!vm->stream)
        udfvm_costs_phase(&vm->costs, PHASE_COPY);
}

/* Nanoseconds of a tick. KVM knows it; where there is none, the time since the VM was opened says
 * it. */
static double tick_ns(const struct udfvm_vm *vm)
{
    if (vm->tsc_khz)
        return 1e6 / vm->tsc_khz;
    const uint64_t ticks = udfvm_ticks_between(vm->begun_ticks, udfvm_ticks());
    return ticks ? (double)(udfvm_monotonic_ns() - vm->begun_ns) / (double)ticks : 0;
}

/* Where the caller's thread does not know when the guest runs, samples say for how much of its
 * time. */
static void share_streamed(struct costs *costs)
{
    const uint64_t host = costs->ticks[PHASE_HOST],
                   guest = costs->sampled < host ? costs->sampled : host;
    costs->ticks[PHASE_HOST] -= guest;
    costs->ticks[PHASE_GUEST] += guest;
}

/* Who gives the VM to its pool tells the hook itself, once it is there. */
static void tell(struct udfvm_vm *vm, const struct udfvm_call_report *report)
{
    const struct ended ended = { udfvm_account_label(vm->costs.account), *report };
    if (vm->ended)
        *vm->ended = ended;
    else
        udfvm_report_tell(&ended);
}

void udfvm_costs_forget_restore(struct udfvm_vm *vm)
{
    udfvm_account_close(vm->owed.account);
    vm->owed.account = NULL;
}

/* The process may say anything. */
void udfvm_costs_restored(struct udfvm_vm *vm, uint64_t pages, uint64_t written)
{
    const uint64_t most = vm->config.memory + vm->config.output_window + vm->config.scratch;
    if (vm->owed.account && written <= most && pages <= most / PAGE)
        udfvm_account_amend(vm->owed.account, vm->owed.number, pages, written);
    udfvm_costs_forget_restore(vm);
}

static void note(struct udfvm_vm *vm)
{
    struct costs *costs = &vm->costs;
    share_streamed(costs);
    const double tick = tick_ns(vm);
    const uint64_t *ticks = costs->ticks;
    const uint64_t pages = vm->remote ? 0 : vm->memory.hot.put_back;
    struct udfvm_call_report report = {
        .ended_ns = udfvm_monotonic_ns(),
        .rows = costs->rows,
        .exchanges = costs->exchanges,
        .input = costs->input,
        .output = costs->output,
        .log = costs->log,
        .host_calls = vm->host_calls,
        .exits = exits_of(vm) - costs->exits,
        .pages = pages,
        .peak = costs->peak,
        .memory = vm->remote ? 0 : udfvm_memory_written(&vm->memory),
        .host_ns = (uint64_t)((double)ticks[PHASE_HOST] * tick),
        .copy_ns = (uint64_t)((double)ticks[PHASE_COPY] * tick),
        .guest_ns = (uint64_t)((double)ticks[PHASE_GUEST] * tick),
        .restore_ns = (uint64_t)((double)ticks[PHASE_RESTORE] * tick),
        .code = costs->code,
        .status = costs->status,
        .jailed = vm->remote && vm->remote->in_jail,
        .streamed = costs->streamed,
        .parts = 1,
    };
    udfvm_account_note(costs->account, &report);
    udfvm_costs_forget_restore(vm);
    if (report.jailed && vm->state == VM_SEALED)
        vm->owed = (struct owed){ udfvm_account_retain(costs->account), report.number };
    if (udfvm_report_hooked())
        tell(vm, &report);
}

/* What the guest kernel wrote, which the program in the guest can overwrite: it is read once, and
 * is no more than there is. A jailed VM shares the page of the stream's reply. */
static uint64_t peak_of(const struct udfvm_vm *vm)
{
    const uint64_t distance = UDFVM_STREAM_REPLY - UDFVM_PEAK_MEMORY;
    const uint8_t *reply = !vm->remote ? udfvm_machine_address(&vm->machine, UDFVM_STREAM_REPLY, 1)
                           : vm->remote->in_jail ? (const uint8_t *)vm->remote->stream_reply(vm)
                                                 : NULL;
    if (!reply)
        return 0;
    const uint64_t peak = __atomic_load_n((const uint64_t *)(const void *)(reply - distance),
                                          __ATOMIC_RELAXED);
    return peak < vm->config.memory ? peak : vm->config.memory;
}

void udfvm_costs_restore(struct udfvm_vm *vm)
{
    udfvm_costs_phase(&vm->costs, PHASE_RESTORE);
    if (vm->costs.account)
        vm->costs.peak = peak_of(vm);
    vm->costs.log = atomic_load_explicit(&vm->log.length, memory_order_relaxed);
}

void udfvm_costs_end(struct udfvm_vm *vm)
{
    struct udfvm_account *account = vm->costs.account;
    const bool forked = udfvm_vm_forked(vm); /* it has not the memory, and the call goes on in the
                                                parent alone */
    if (account && !forked && vm->costs.phase != PHASE_RESTORE)
        vm->costs.peak = peak_of(vm);
    udfvm_costs_phase(&vm->costs, PHASE_HOST);
    if (account && !forked)
        note(vm);
    vm->ended = NULL;
    udfvm_account_close(account);
    udfvm_costs_begin(vm, vm->costs.since);
}
