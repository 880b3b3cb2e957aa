/* Calls of a jailed VM: each operation is a message to its process. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "jail/cell.h"
#include "jail/open.h"

/* ---- Calls ---- */

/* What a guest can bring about; a process that says something else is not in its right mind. */
static bool is_possible(const struct cell *cell, int code)
{
    switch (code) {
    case UDFVM_E_SYSTEM:
    case UDFVM_E_TIMEOUT:
    case UDFVM_E_CRASH:
    case UDFVM_E_EXIT:
    case UDFVM_E_DEADLOCK:
    case UDFVM_E_PROTOCOL:
    case UDFVM_E_OUTPUT:
    case UDFVM_E_LOG:
        return true;
    case UDFVM_E_DATA:
        return cell->vm.machine.data != NULL;
    case UDFVM_E_HOST_CALLS:
        return cell->vm.limits.host_functions != NULL;
    default:
        return false;
    }
}

static int fail_call(struct cell *cell, struct udfvm_error *error)
{
    const struct jail_answer *answer = &cell->answer;
    if (cell->host_failed) {
        *error = cell->failure;
        return error->code;
    }
    if (!is_possible(cell, answer->code))
        return udfvm_cell_break(cell, "failed in a way that no guest can bring about", error);
    if (answer->code == UDFVM_E_TIMEOUT && !cell->vm.stream)
        return udfvm_vm_fail_timeout(&cell->vm, error);
    udfvm_fail(error, answer->code, "%s", answer->message);
    error->os_errno = answer->os_errno;
    error->signal = answer->signal;
    error->address = answer->address;
    error->rip = answer->rip;
    return error->code;
}

static int keep_seal(struct cell *cell, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    if (!vm->seal_info)
        vm->seal_info = malloc(sizeof *vm->seal_info);
    if (!vm->seal_info)
        return udfvm_fail_errno(error, "keeping what a guest says of its seal");
    memcpy(vm->seal_info, cell->data, sizeof *vm->seal_info);
    if (vm->seal_info->unknown_count > UDFVM_MAX_UNKNOWN_SYSCALLS)
        vm->seal_info->unknown_count = UDFVM_MAX_UNKNOWN_SYSCALLS;
    return UDFVM_OK;
}

static int take_reply(struct cell *cell, struct udfvm_reply *reply, struct udfvm_error *error)
{
    const struct jail_answer *answer = &cell->answer;
    struct udfvm_vm *vm = &cell->vm;
    cell->counters.exits = answer->exits;
    if (cell->host_failed || answer->code != UDFVM_OK)
        return fail_call(cell, error);
    if (answer->sealed) {
        reply->sealed = 1;
        return keep_seal(cell, error);
    }
    if (answer->unlogged_open)
        vm->machine.unlogged_open = vm->memory.large = true;
    if (udfvm_vm_completed(vm, (uint32_t)answer->status, answer->length, reply, error) != UDFVM_OK)
        return udfvm_cell_break(cell, "replied what no guest can", error);
    return udfvm_cell_keep_reply(cell, reply, error);
}

/* Makes huge pages of what a large request fills, once: see join_pages in memory/unlogged.c. */
static void join_input(struct cell *cell, uint64_t length)
{
    const uint64_t end = (UDFVM_PAGE_SIZE + length) / HUGE_PAGE * HUGE_PAGE;
    for (; cell->input_joined < end; cell->input_joined += HUGE_PAGE)
        udfvm_machine_join(cell->vm.machine.input + cell->input_joined, HUGE_PAGE);
}

/* The limits of the call, as the process needs them. */
struct jail_message udfvm_cell_message(const struct udfvm_vm *vm, enum jail_request kind,
                                       uint32_t request, uint64_t length)
{
    const struct udfvm_host_functions *functions = vm->limits.host_functions;
    const bool unlimited = vm->max_reply > vm->limits.max_output;
    return (struct jail_message){
        .kind = kind,
        .request = request,
        .length = length,
        .reads_files = vm->files && vm->limits.files,
        .deterministic = vm->limits.deterministic != 0,
        .strict_log = vm->limits.strict_log != 0,
        .host_functions = functions != NULL,
        .max_host_calls = functions ? functions->max_calls : 0,
        .max_output = unlimited ? 0 : vm->limits.max_output - vm->limits.reply_frame,
        .reply_frame = vm->limits.reply_frame,
        .max_log = vm->limits.max_log,
    };
}

static int exchange_in_time(struct cell *cell, const struct jail_message *message, int *files,
                            struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    UDFVM_TRY(udfvm_cell_settle(cell, error)); /* not in the time of this call */
    udfvm_deadline_enter(&vm->deadline, udfvm_vm_time_left(vm));
    const int code = udfvm_cell_exchange(cell, message, files, vm->deadline.end_ns, true, error);
    udfvm_deadline_leave(&vm->deadline);
    return code;
}

/* Whether the process has not looked at the call's first message, which is the `first`; nor may it
 * have been answered a question, which is another. */
static bool is_unseen(const struct cell *cell, unsigned first)
{
    return cell->asked == first && atomic_load(&cell->control->taken) != first;
}

/* A call that begins does not end with what went wrong before it: with a process that could not be
 * put back, or ended without a look at the call. */
static int exchange_or_renew(struct cell *cell, const struct jail_message *message, int *files,
                             struct udfvm_error *error)
{
    const bool begins = cell->vm.state == VM_SEALED;
    const unsigned before = cell->asked;
    const int code = exchange_in_time(cell, message, files, error);
    if (code == UDFVM_OK || code == UDFVM_E_FORKED || !begins || !cell->broken)
        return code;
    if (cell->asked != before && (code != UDFVM_E_CRASH || !is_unseen(cell, before + 1)))
        return code;
    UDFVM_TRY(udfvm_cell_renew(cell, error));
    return exchange_in_time(cell, message, files, error);
}

int udfvm_cell_call(struct cell *cell, struct jail_message *message, int *files,
                    struct udfvm_reply *reply, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    message->may_stop = cell->thread_count != 0;
    udfvm_cell_begin_call(cell, message->length);
    const int code = exchange_or_renew(cell, message, files, error);
    udfvm_cell_end_call(cell);
    UDFVM_TRY(code);
    if (cell->answer.stops) /* it is continued only where it stood still */
        UDFVM_TRY(udfvm_cell_freeze(cell, error));
    return cell->expired ? udfvm_vm_fail_timeout(vm, error) : take_reply(cell, reply, error);
}

static int call_cell(struct udfvm_vm *vm, uint32_t request, uint64_t length,
                     struct udfvm_reply *reply, struct udfvm_error *error)
{
    struct jail_message message = udfvm_cell_message(vm, JAIL_CALL, request, length);
    if (length >= HUGE_PAGE)
        join_input(cell_of(vm), length);
    return udfvm_cell_call(cell_of(vm), &message, NULL, reply, error);
}

/* ---- Streaming calls: the other half is that of any, in call/streaming.c ---- */

static struct stream_words *stream_words_of(struct udfvm_vm *vm)
{
    return &cell_of(vm)->control->stream;
}

/* Behind the output window: see struct shared_windows. */
static const struct udfvm_stream_reply *stream_reply_of(const struct udfvm_vm *vm)
{
    const uint64_t inside = UDFVM_STREAM_REPLY % UDFVM_PAGE_SIZE;
    return (const struct udfvm_stream_reply *)(vm->machine.unlogged + vm->machine.unlogged_bytes +
                                               inside);
}

/* Of what follows nothing takes long. */
static int exchange_soon(struct udfvm_vm *vm, const struct jail_message *message,
                         struct udfvm_error *error)
{
    struct cell *cell = cell_of(vm);
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    const uint64_t end_ns = udfvm_monotonic_ns() + JAIL_SOON_NS;
    UDFVM_TRY(udfvm_cell_exchange(cell, message, NULL, end_ns, false, error));
    return cell->host_failed || cell->answer.code != UDFVM_OK ? fail_call(cell, error) : UDFVM_OK;
}

static int begin_stream(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct jail_message message = udfvm_cell_message(vm, JAIL_STREAM, vm->remote_request,
                                                     vm->remote_length);
    message.timeout_ns = vm->limits.timeout_ns;
    message.end_ns = vm->end_ns;
    message.idle_spin_us = vm->idle_spin_us;
    return exchange_soon(vm, &message, error);
}

static int wake_stream(struct udfvm_vm *vm, struct udfvm_error *error)
{
    return exchange_soon(vm, &(struct jail_message){ .kind = JAIL_WAKE }, error);
}

static int serve_stream(struct udfvm_vm *vm, struct udfvm_error *error)
{
    return exchange_soon(vm, &(struct jail_message){ .kind = JAIL_STREAM_SERVE }, error);
}

static int fetch_log(struct udfvm_vm *vm, struct udfvm_error *error)
{
    return exchange_soon(vm, &(struct jail_message){ .kind = JAIL_STREAM_LOG }, error);
}

static void end_stream(struct udfvm_vm *vm, struct udfvm_error *said)
{
    struct udfvm_error failure = { .code = UDFVM_OK };
    exchange_soon(vm, &(struct jail_message){ .kind = JAIL_STREAM_END }, &failure);
    if (said && failure.code == UDFVM_OK)
        udfvm_cell_break(cell_of(vm), "ended a call for no reason", &failure);
    if (said)
        *said = failure;
}

/* ---- Its end ---- */

/* The process does it while the program goes on. What both passed to each other is put back here:
 * the process that the next call has may be taken over. */
static int restore_cell(struct udfvm_vm *vm, struct udfvm_error *error)
{
    struct cell *cell = cell_of(vm);
    vm->memory.spans.asked = 0;
    if (cell->broken)
        return udfvm_cell_settle(cell, error);
    if (vm->state == VM_SEALED)
        return UDFVM_OK;
    UDFVM_TRY(udfvm_cell_end_borrowing(cell, error));
    udfvm_files_close_all(vm);
    udfvm_log_clear(&vm->log);
    memset(cell->data, 0, cell->data_used);
    cell->data_used = 0;
    cell->in_doubt = vm->state == VM_BROKEN;
    udfvm_cell_send(cell, &(struct jail_message){ .kind = JAIL_RESTORE });
    vm->state = VM_SEALED;
    return UDFVM_OK;
}

/* ---- Between calls ---- */

static int shrink_cell(struct udfvm_vm *vm, bool all, struct udfvm_error *error)
{
    vm->memory.large = false;
    cell_of(vm)->input_joined = 0;
    UDFVM_TRY(udfvm_span_drop_input(&vm->memory, error));
    const struct jail_message message = { .kind = all ? JAIL_SHRINK : JAIL_DROP };
    return udfvm_cell_operate(cell_of(vm), &message, NULL, JAIL_SOON_NS, error);
}

static void cell_statistics(const struct udfvm_vm *vm, struct udfvm_vm_statistics *statistics)
{
    const struct cell *cell = (const struct cell *)vm;
    *statistics = cell->counters;
    statistics->calls = vm->calls;
    statistics->memory = vm->config.memory;
    statistics->restores = cell->answer.restores;
    statistics->hot_pages = cell->answer.hot_pages;
    statistics->pages_copied = cell->answer.pages_copied;
}

static bool cell_settle(struct udfvm_vm *vm)
{
    struct cell *cell = cell_of(vm);
    if (!cell->pending || cell->broken)
        return true;
    if (!udfvm_cell_answered(cell))
        return false;
    udfvm_cell_settle(cell, NULL);
    return true;
}

static pid_t cell_process(const struct udfvm_vm *vm)
{
    return ((const struct cell *)vm)->pid;
}

static bool cell_usable(struct udfvm_vm *vm)
{
    struct cell *cell = cell_of(vm);
    /* The restore may go on while a request is written. Where it may well fail, it does so before
     * there is a call that would fail with it. */
    const bool settled = cell->pending && !cell->in_doubt && !udfvm_cell_answered(cell)
                             ? !cell->broken
                             : udfvm_cell_settle(cell, NULL) == UDFVM_OK;
    return settled && !udfvm_cell_has_ended(cell);
}

const struct remote_operations udfvm_cell_operations = {
    .in_jail = true,
    .call = call_cell,
    .restore = restore_cell,
    .bind = udfvm_cell_bind,
    .shrink = shrink_cell,
    .seal = udfvm_cell_seal,
    .stream_words = stream_words_of,
    .stream_reply = stream_reply_of,
    .stream_begin = begin_stream,
    .stream_wake = wake_stream,
    .stream_serve = serve_stream,
    .stream_log = fetch_log,
    .stream_end = end_stream,
    .borrow = udfvm_cell_borrow,
    .statistics = cell_statistics,
    .settle = cell_settle,
    .process = cell_process,
    .usable = cell_usable,
    .close = udfvm_cell_close,
};
