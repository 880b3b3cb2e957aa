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
}

static void unlock(struct udfvm_account *account)
{
    atomic_store_explicit(&account->lock, 0, memory_order_release);
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
    sums->host_ns += report->host_ns;
    sums->copy_ns += report->copy_ns;
    sums->guest_ns += report->guest_ns;
    sums->restore_ns += report->restore_ns;
    if (report->code != UDFVM_OK || report->status != 0)
        sums->errors[report->code > 0 && report->code < UDFVM_CODES ? report->code : 0]++;
}

void udfvm_account_note(udfvm_account *account, struct udfvm_call_report *report)
{
    lock(account);
    report->number = account->last.number + 1;
    account->last = *report;
    if (!account->whole)
        add(&account->sums, report);
    unlock(account);
    if (!account->whole)
        return;
    lock(account->whole);
    add(&account->whole->sums, report);
    unlock(account->whole);
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
