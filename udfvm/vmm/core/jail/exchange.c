/* Messages to the process of a jailed VM, and its answers. A short wait is spent looking, because
 * sleeping and waking up takes as long as a call; a longer one asleep. Every 50 ms the thread looks
 * whether the process lives and whether something ends the call, so that nothing depends on what
 * the process does. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/baton.h"
#include "call/exchange.h"
#include "call/watchdog.h"
#include "jail/cell.h"
#include "jail/descriptors.h"

#define SPIN_NS       200000u
#define LARGE_NS      2000000u /* for the reply to a large request: waking up is a 20th of that */
#define MAX_REFUSED   16u      /* questions of a call that is to end */
#define JAIL_RETRY_NS 1000000u

void udfvm_cell_signal(const struct cell *cell, int number)
{
    syscall(SYS_pidfd_send_signal, cell->process, number, NULL, 0);
}

/* A descriptor of a process can be read once that has ended: pidfd_open(2). */
bool udfvm_cell_has_ended(const struct cell *cell)
{
    struct pollfd process = { .fd = cell->process, .events = POLLIN };
    return poll(&process, 1, 0) > 0;
}

int udfvm_cell_break(struct cell *cell, const char *why, struct udfvm_error *error)
{
    cell->broken = true;
    cell->pending = false;
    udfvm_cell_signal(cell, SIGKILL);
    return udfvm_fail(error, UDFVM_E_CRASH,
                      "the process that the micro-VM ran in %s; the next call has another", why);
}

static void post(struct cell *cell, const struct jail_message *message)
{
    struct jail_control *control = cell->control;
    if (cell->frozen)
        udfvm_cell_thaw(cell);
    cell->large = message->length >= MIN_FROZEN;
    control->message = *message;
    udfvm_baton_give(&control->asked, ++cell->asked);
}

bool udfvm_cell_answered(const struct cell *cell)
{
    return udfvm_baton_has_come(&cell->control->answered, cell->asked);
}

static bool spin(const struct cell *cell)
{
    return udfvm_baton_spin(&cell->control->answered, cell->asked,
                            cell->large ? LARGE_NS : SPIN_NS);
}

/* How long the answer to a message is waited for, whatever the process asks for meanwhile. */
struct patience {
    uint64_t end_ns;   /* then the call is to end */
    uint64_t until_ns; /* then the process is killed */
    bool of_user;      /* an interrupt ends it too */
    bool told;         /* it was told to end the call */
    uint64_t look_ns;  /* when to look at the process, and whether something ends the call */
    struct ticker ticker;
};

static struct patience patience_until(uint64_t end_ns, bool of_user)
{
    return (struct patience){ .end_ns = end_ns,
                              .until_ns = UDFVM_NEVER,
                              .of_user = of_user,
                              .look_ns = udfvm_monotonic_ns() + UDFVM_WATCH_NS };
}

/* Where its guest says when it wants to be interrupted; NULL: there is none, or it is not. */
static const struct udfvm_timer *timer_of(const struct udfvm_vm *vm)
{
    const struct machine *machine = &vm->machine;
    if (vm->limits.deterministic)
        return NULL;
    const uint64_t inside = UDFVM_TIMER % UDFVM_PAGE_SIZE;
    return (const struct udfvm_timer *)(machine->unlogged + machine->unlogged_bytes + inside);
}

static uint64_t time_to_look(const struct patience *patience)
{
    if (patience->told)
        return JAIL_RETRY_NS;
    const uint64_t now = udfvm_monotonic_ns();
    uint64_t next = patience->end_ns < patience->look_ns ? patience->end_ns : patience->look_ns;
    next = patience->ticker.next_ns < next ? patience->ticker.next_ns : next;
    return next > now ? next - now : 1;
}

/* Interrupts the guest where it asks for that: the process then leads it. Without effect, as just
 * before the process enters the guest, it is asked for again. */
static void tick(const struct cell *cell, struct patience *patience)
{
    const uint64_t now = udfvm_monotonic_ns();
    if (now >= patience->ticker.next_ns && udfvm_ticker_look(&patience->ticker, now))
        udfvm_cell_signal(cell, UDFVM_KICK_SIGNAL);
}

/* A signal that comes just before the process enters the guest has no effect: it is sent again. */
static void tell_to_end(struct cell *cell, struct patience *patience)
{
    if (!patience->told)
        patience->until_ns = udfvm_monotonic_ns() + JAIL_GRACE_NS;
    patience->told = true;
    atomic_store(&cell->control->stop, 1);
    udfvm_cell_signal(cell, UDFVM_KICK_SIGNAL);
}

/* Whether the deadline, or something else outside the call, ends it. */
static int look_outside(struct cell *cell, struct patience *patience, struct udfvm_error *error)
{
    struct udfvm_vm *vm = &cell->vm;
    if (!patience->told && udfvm_monotonic_ns() >= patience->end_ns)
        cell->expired = true;
    bool ends = cell->expired || patience->told;
    if (!ends) {
        udfvm_vm_out(vm);
        ends = patience->of_user && (udfvm_interrupted() || udfvm_vm_watched_out(vm));
        udfvm_vm_in(vm);
        if (udfvm_vm_forked(vm))
            return udfvm_vm_fail_forked(error);
    }
    if (ends)
        tell_to_end(cell, patience);
    return UDFVM_OK;
}

/* It is killed, and the call ends with what ended it first. */
static int fail_unended(struct cell *cell, const char *why, struct udfvm_error *error)
{
    udfvm_cell_break(cell, why, error);
    if (cell->expired)
        return udfvm_vm_fail_timeout(&cell->vm, error);
    if (!cell->host_failed)
        return udfvm_fail(error, UDFVM_E_INTERRUPTED, "the call was interrupted");
    *error = cell->failure;
    return error->code;
}

static bool is_due(const struct patience *patience, uint64_t now)
{
    return patience->told || now >= patience->end_ns || now >= patience->look_ns;
}

static int look(struct cell *cell, struct patience *patience, bool signalled,
                struct udfvm_error *error)
{
    const uint64_t now = udfvm_monotonic_ns();
    tick(cell, patience);
    if (!signalled && !is_due(patience, now))
        return UDFVM_OK;
    patience->look_ns = now + UDFVM_WATCH_NS;
    const unsigned answered = atomic_load(&cell->control->answered.number);
    if (answered != cell->asked && answered != cell->asked - 1)
        return udfvm_cell_break(cell, "answered what it was not asked", error);
    if (udfvm_cell_has_ended(cell) && !udfvm_cell_answered(cell))
        return udfvm_cell_break(cell, "ended", error);
    if (udfvm_monotonic_ns() >= patience->until_ns)
        return fail_unended(cell, "did not answer", error);
    return look_outside(cell, patience, error);
}

static void note_interrupt(struct cell *cell)
{
    cell->host_failed = true;
    udfvm_fail(&cell->failure, UDFVM_E_INTERRUPTED, "the call was interrupted");
}

/* The interrupt hook tells of an interrupt once. So it is asked only where the call that would be
 * lost with it can fail (`of_user`): what is asked of the process between two calls takes no time,
 * and the next call sees the interrupt.
 *
 * The time to look may have come as the program did what it was asked for. A process that goes on
 * asking, and so never lets the program wait, puts off nothing. */
static int wait_for_answer(struct cell *cell, struct patience *patience, struct udfvm_error *error)
{
    const uint64_t begin = udfvm_monotonic_ns();
    const bool due = is_due(patience, begin);
    if (!due && spin(cell))
        return UDFVM_OK;
    udfvm_ticker_start(&patience->ticker, patience->of_user ? timer_of(&cell->vm) : NULL, begin);
    int code = due ? look(cell, patience, false, error) : UDFVM_OK;
    while (code == UDFVM_OK && !udfvm_cell_answered(cell)) {
        const bool signalled = udfvm_baton_sleep(&cell->control->answered, cell->asked,
                                                 time_to_look(patience));
        if (!udfvm_cell_answered(cell))
            code = look(cell, patience, signalled, error);
    }
    if (code == UDFVM_OK && patience->told && !cell->expired)
        note_interrupt(cell);
    return code;
}

/* The process may change its answer at any time: one copy is looked at. */
static void take_answer(struct cell *cell)
{
    struct jail_answer *answer = &cell->answer;
    memcpy(answer, &cell->control->answer, offsetof(struct jail_answer, message));
    if (answer->code == UDFVM_OK) {
        answer->message[0] = 0;
        return;
    }
    char text[sizeof answer->message];
    memcpy(text, cell->control->answer.message, sizeof text);
    const char *const none = "the process that the micro-VM ran in gave no reason";
    const char *const from = text[0] ? text : none; /* an error says why, whoever makes it */
    udfvm_visible_text(from, strnlen(from, sizeof text), "", answer->message,
                       sizeof answer->message);
}

static int fail_broken(struct udfvm_error *error)
{
    return udfvm_fail(error, UDFVM_E_CRASH, "the process that the micro-VM ran in has ended");
}

int udfvm_cell_settle(struct cell *cell, struct udfvm_error *error)
{
    if (cell->broken)
        return fail_broken(error);
    if (!cell->pending)
        return UDFVM_OK;
    struct patience patience = patience_until(udfvm_monotonic_ns() + JAIL_SOON_NS, false);
    UDFVM_TRY(wait_for_answer(cell, &patience, error));
    cell->pending = false;
    take_answer(cell);
    if (cell->answer.kind != JAIL_DONE || cell->answer.code != UDFVM_OK)
        return udfvm_cell_break(cell, "could not be put back", error);
    cell->vm.memory.large = cell->answer.large;
    udfvm_costs_restored(&cell->vm, cell->answer.put_back, cell->answer.written);
    return UDFVM_OK;
}

/* What ended the call before does not end what is asked for next. */
static void forget_end(struct cell *cell)
{
    cell->host_failed = cell->expired = false;
    atomic_store_explicit(&cell->control->stop, 0, memory_order_relaxed);
}

void udfvm_cell_send(struct cell *cell, const struct jail_message *message)
{
    forget_end(cell);
    post(cell, message);
    cell->pending = true;
}

int udfvm_cell_greet(struct cell *cell, struct udfvm_error *error)
{
    struct patience patience = patience_until(udfvm_monotonic_ns() + JAIL_SOON_NS, false);
    cell->asked = 1; /* of nothing: the process answers first */
    UDFVM_TRY(wait_for_answer(cell, &patience, error));
    take_answer(cell);
    return cell->answer.kind == JAIL_READY
               ? UDFVM_OK
               : udfvm_cell_break(cell, "began with what makes no sense", error);
}

#define DATA_HEAD (UDFVM_MAX_PATH + 1 + JAIL_NAME_BYTES) /* ahead of what has a length */

/* What is asked for lies in `data`, and what is answered. */
static void note_data(struct cell *cell, uint64_t length)
{
    const uint64_t most = MAX_JAIL_DATA - DATA_HEAD;
    const uint64_t used = DATA_HEAD + (length < most ? length : most);
    if (used > cell->data_used)
        cell->data_used = used;
}

/* The process waits meanwhile. In a streaming call nothing is known of its time. */
static void serve(struct cell *cell, struct jail_message *next, struct udfvm_error *failure)
{
    struct costs *costs = &cell->vm.costs;
    const enum phase phase = costs->phase;
    udfvm_costs_phase(costs, PHASE_HOST);
    udfvm_cell_serve(cell, next, failure);
    udfvm_costs_phase(costs, phase);
}

/* Does what the process asks for in the middle of a call; of a call that is to end, it takes what
 * that wrote. */
static int answer_question(struct cell *cell, struct jail_message *next, unsigned *refused,
                           struct udfvm_error *error)
{
    struct udfvm_error failure = { .code = UDFVM_OK };
    note_data(cell, cell->answer.length);
    if ((cell->host_failed || cell->expired) && cell->answer.kind != JAIL_LOG) {
        *next = (struct jail_message){ .kind = JAIL_GOT, .failed = 1 };
        return ++*refused <= MAX_REFUSED ? UDFVM_OK
                                         : fail_unended(cell, "did not end its call", error);
    }
    serve(cell, next, &failure);
    note_data(cell, next->length);
    if (failure.code == UDFVM_E_FORKED || cell->broken) {
        if (error)
            *error = failure;
        return failure.code;
    }
    if (failure.code != UDFVM_OK) {
        next->failed = 1;
        cell->host_failed = true;
        cell->failure = failure;
        /* A guest that is told of an interrupt alone asks again. */
        atomic_store(&cell->control->stop, 1);
    }
    return UDFVM_OK;
}

int udfvm_cell_exchange(struct cell *cell, const struct jail_message *message, int *files,
                        uint64_t end_ns, bool of_user, struct udfvm_error *error)
{
    struct jail_message next = *message;
    unsigned refused = 0;
    UDFVM_TRY(udfvm_cell_settle(cell, error));
    forget_end(cell);
    struct patience patience = patience_until(end_ns, of_user);
    if (next.files && !udfvm_send_files(cell->socket, &(char){ 0 }, 1, files, next.files))
        return udfvm_cell_break(cell, "took no descriptors", error);
    for (;;) {
        post(cell, &next);
        UDFVM_TRY(wait_for_answer(cell, &patience, error));
        take_answer(cell);
        if (cell->answer.kind == JAIL_DONE)
            return UDFVM_OK;
        UDFVM_TRY(answer_question(cell, &next, &refused, error));
        if (of_user) /* a file that was opened may have moved it */
            patience.end_ns = cell->vm.deadline.end_ns;
    }
}

int udfvm_cell_operate(struct cell *cell, const struct jail_message *message, int *files,
                       uint64_t within_ns, struct udfvm_error *error)
{
    struct udfvm_error unasked;
    error = error ? error : &unasked;
    const uint64_t end_ns = udfvm_monotonic_ns() + within_ns;
    UDFVM_TRY(udfvm_cell_exchange(cell, message, files, end_ns, false, error));
    const struct jail_answer *answer = &cell->answer;
    if (answer->code == UDFVM_OK && !cell->host_failed)
        return UDFVM_OK;
    char text[sizeof answer->message];
    const int number = answer->os_errno;
    memcpy(text, answer->message, sizeof text);
    udfvm_cell_break(cell, "failed", NULL);
    if (cell->host_failed)
        *error = cell->failure;
    else
        udfvm_fail(error, UDFVM_E_SYSTEM, "%s", text);
    error->os_errno = number;
    return error->code;
}
