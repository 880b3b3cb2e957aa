/* Accounts. What holds the lock does so for some stores, so waiting is looking. A forked child
 * begins with nothing: neither is a call of its parent its own, nor is there the thread that held
 * the lock.
 */
#include "base/account.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"

struct udfvm_account {
    atomic_uint lock; /* 0, or the generation of the process that holds it */
    atomic_int references;
    unsigned generation; /* of the process whose calls these are */
    _Atomic uint64_t label;
    struct udfvm_account *whole;
    struct udfvm_account *of;       /* of a batch in parts: what that is a call of */
    struct udfvm_call_report total; /* of its parts */
    bool ended;                     /* it has no more parts that begin */
    uint64_t published;             /* its number as a call of that; 0: none yet. Guarded there */
    struct udfvm_call_report last;
    struct udfvm_call_sums sums;
};

udfvm_account *udfvm_account_create(udfvm_account *whole, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    struct udfvm_account *account = calloc(1, sizeof *account);
    if (!account) {
        udfvm_fail_errno(error, "allocating an account");
        return NULL;
    }
    account->references = 1;
    account->generation = udfvm_fork_generation();
    account->whole = whole ? udfvm_account_retain(whole) : NULL;
    return account;
}

udfvm_account *udfvm_account_retain(udfvm_account *account)
{
    atomic_fetch_add(&account->references, 1);
    return account;
}

void udfvm_account_close(udfvm_account *account)
{
    while (account && atomic_fetch_sub(&account->references, 1) == 1) {
        struct udfvm_account *whole = account->whole;
        udfvm_account_close(account->of);
        free(account);
        account = whole;
    }
}

static void lock(struct udfvm_account *account)
{
    const unsigned own = udfvm_fork_generation();
    unsigned held = 0;
    while (!atomic_compare_exchange_weak(&account->lock, &held, own)) {
        if (held == own) {
            sched_yield();
            held = 0;
        } /* else it is free, or was held where the process was forked */
    }
    if (account->generation == own)
        return;
    account->generation = own;
    account->last = (struct udfvm_call_report){ .number = 0 };
    account->sums = (struct udfvm_call_sums){ .calls = 0 };
    account->total = (struct udfvm_call_report){ .parts = 0 };
}

static void unlock(struct udfvm_account *account)
{
    atomic_store_explicit(&account->lock, 0, memory_order_release);
}

static bool has_failed(const struct udfvm_call_report *report)
{
    return report->code != UDFVM_OK || report->status != 0;
}

static void add(struct udfvm_call_sums *sums, const struct udfvm_call_report *report)
{
    sums->calls++;
    sums->rows += report->rows;
    sums->exchanges += report->exchanges;
    sums->input += report->input;
    sums->output += report->output;
    sums->log += report->log;
    sums->host_calls += report->host_calls;
    sums->exits += report->exits;
    sums->pages += report->pages;
    sums->peak = report->peak > sums->peak ? report->peak : sums->peak;
    sums->host_ns += report->host_ns;
    sums->copy_ns += report->copy_ns;
    sums->guest_ns += report->guest_ns;
    sums->restore_ns += report->restore_ns;
    if (has_failed(report))
        sums->errors[report->code > 0 && report->code < UDFVM_CODES ? report->code : 0]++;
}

udfvm_account *udfvm_account_begin_batch(udfvm_account *account, struct udfvm_error *error)
{
    udfvm_account *batch = udfvm_account_create(account->whole ? account->whole : account, error);
    if (batch) {
        batch->of = udfvm_account_retain(account);
        batch->label = account->label;
    }
    return batch;
}

/* Parts are ended that come behind one that failed. */
static void join(struct udfvm_call_report *total, const struct udfvm_call_report *part)
{
    if (has_failed(part) && (!has_failed(total) || total->code == UDFVM_E_INTERRUPTED)) {
        total->code = part->code;
        total->status = part->status;
    }
    if (part->ended_ns > total->ended_ns)
        total->ended_ns = part->ended_ns;
    total->rows += part->rows;
    total->exchanges += part->exchanges;
    total->input += part->input;
    total->output += part->output;
    total->log += part->log;
    total->host_calls += part->host_calls;
    total->exits += part->exits;
    total->pages += part->pages;
    total->memory += part->memory;
    total->peak = part->peak > total->peak ? part->peak : total->peak;
    total->host_ns += part->host_ns;
    total->copy_ns += part->copy_ns;
    total->guest_ns += part->guest_ns;
    total->restore_ns += part->restore_ns;
    total->jailed |= part->jailed;
    total->streamed |= part->streamed;
    total->parts += part->parts;
}

/* The sum of an ended batch is the last report, unless that is one of a later call. */
static void publish(struct udfvm_account *batch, const struct udfvm_call_report *total)
{
    struct udfvm_account *of = batch->of;
    lock(of);
    const bool first = batch->published == 0;
    if (first)
        batch->published = of->last.number + 1;
    if (first || of->last.number == batch->published) {
        of->last = *total;
        of->last.number = batch->published;
    }
    unlock(of);
}

/* A part whose result is the VM's memory may end after its batch. */
static void join_batch(struct udfvm_account *batch, const struct udfvm_call_report *part)
{
    lock(batch);
    join(&batch->total, part);
    const struct udfvm_call_report total = batch->total;
    const bool ended = batch->ended;
    unlock(batch);
    if (ended)
        publish(batch, &total);
}

void udfvm_account_end_batch(udfvm_account *batch)
{
    lock(batch);
    batch->ended = true;
    const struct udfvm_call_report total = batch->total;
    unlock(batch);
    if (total.parts)
        publish(batch, &total);
}

/* A batch that is part of another counts there part by part. */
static void join_batches(struct udfvm_account *account, const struct udfvm_call_report *part)
{
    for (; account->of; account = account->of)
        join_batch(account, part);
}

void udfvm_account_note(struct udfvm_account *account, struct udfvm_call_report *report)
{
    lock(account);
    report->number = account->last.number + 1;
    account->last = *report;
    if (!account->whole)
        add(&account->sums, report);
    unlock(account);
    join_batches(account, report);
    if (!account->whole)
        return;
    lock(account->whole);
    add(&account->whole->sums, report);
    unlock(account->whole);
}

void udfvm_account_amend(struct udfvm_account *account, uint64_t number, uint64_t pages,
                         uint64_t memory)
{
    const struct udfvm_call_report more = { .pages = pages, .memory = memory };
    struct udfvm_account *whole = account->whole ? account->whole : account;
    lock(account);
    if (account->last.number == number) {
        account->last.pages += pages;
        account->last.memory += memory;
    }
    unlock(account);
    join_batches(account, &more);
    lock(whole);
    whole->sums.pages += pages;
    unlock(whole);
}

void udfvm_account_last(udfvm_account *account, struct udfvm_call_report *report)
{
    lock(account);
    *report = account->last;
    unlock(account);
}

void udfvm_account_sums(udfvm_account *account, struct udfvm_call_sums *sums)
{
    lock(account);
    *sums = account->sums;
    unlock(account);
}

void udfvm_account_set_label(udfvm_account *account, uint64_t label)
{
    account->label = label;
}

uint64_t udfvm_account_label(const struct udfvm_account *account)
{
    return account->label;
}

typedef void report_hook(uint64_t label, const struct udfvm_call_report *report);

static report_hook *_Atomic hook;

void udfvm_set_report_hook(void (*wanted)(uint64_t label, const struct udfvm_call_report *report))
{
    atomic_store(&hook, wanted);
}

bool udfvm_report_hooked(void)
{
    return atomic_load_explicit(&hook, memory_order_relaxed) != NULL;
}

void udfvm_report_tell(const struct ended *ended)
{
    report_hook *const tell = ended->report.number ? atomic_load(&hook) : NULL;
    if (tell)
        tell(ended->label, &ended->report);
}
