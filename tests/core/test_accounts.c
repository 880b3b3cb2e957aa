/* What accounts say of calls: those that succeed, that fail and that are made at once, in streams
 * and in children. Usage: test_accounts raw_guest.bin. Prints what holds and what failed. */
#include <pthread.h>
#include <sys/wait.h>
#include "pool_users.h"

#define CALLS 50u

static struct udfvm_call_report last_of(udfvm_account *account)
{
    struct udfvm_call_report report;
    udfvm_account_last(account, &report);
    return report;
}

static struct udfvm_call_sums sums_of(udfvm_account *account)
{
    struct udfvm_call_sums sums;
    udfvm_account_sums(account, &sums);
    return sums;
}

/* One call of the pool's; the code. */
static int call(udfvm_pool *pool, uint64_t what, udfvm_account *account, uint64_t timeout_ns)
{
    const struct udfvm_limits limits = { .timeout_ns = timeout_ns, .account = account };
    uint64_t output[64];
    struct udfvm_pool_reply reply = { .output = output, .capacity = sizeof output };
    return udfvm_pool_call(pool, image, 60 * SECOND, UDFVM_REQUEST_ROW, &what, sizeof what, &limits,
                           &reply, NULL);
}

static void check_counts(const struct udfvm_call_report *report)
{
    check_number(report->number == 1 && report->code == UDFVM_OK &&
                     report->status == UDFVM_STATUS_OK,
                 "a report's end", report->code);
    check_number(report->rows == 1 && report->exchanges == 1, "rows", (long)report->rows);
    check_number(report->input == 8 && report->output > 0, "bytes", (long)report->output);
    check_number(report->exits >= 1 && report->pages > 0, "pages", (long)report->pages);
}

static void check_times(const struct udfvm_call_report *report, uint64_t before)
{
    check_number(report->ended_ns > before && report->ended_ns <= udfvm_monotonic_ns(),
                 "when a call ended", 0);
    check_number(report->guest_ns > 0 && report->restore_ns > 0, "times of the VM",
                 (long)report->guest_ns);
    check_number(report->copy_ns > 0 && report->host_ns > 0, "times of the host",
                 (long)report->host_ns);
}

static void test_calls_are_noted(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_account *whole = udfvm_account_create(NULL, NULL),
                  *one = udfvm_account_create(whole, NULL),
                  *other = udfvm_account_create(whole, NULL);
    const uint64_t before = udfvm_monotonic_ns();
    check_number(last_of(one).number == 0 && sums_of(whole).calls == 0, "noted before a call", 0);
    check_number(call(pool, RAW_COUNT, one, 0) == UDFVM_OK, "a call", 0);
    const struct udfvm_call_report first = last_of(one);
    check_counts(&first);
    check_times(&first, before);
    check_number(call(pool, RAW_LOOP, other, 1000000) == UDFVM_E_TIMEOUT, "an endless call", 0);
    check_number(last_of(other).code == UDFVM_E_TIMEOUT && last_of(other).guest_ns > 0,
                 "a failure's report", last_of(other).code);
    check_number(last_of(one).number == 1, "another account's call", (long)last_of(one).number);
    const struct udfvm_call_sums sums = sums_of(whole);
    check_number(sums.calls == 2 && sums.rows == 2 && sums.errors[UDFVM_E_TIMEOUT] == 1 &&
                     sums.guest_ns == first.guest_ns + last_of(other).guest_ns,
                 "sums", (long)sums.calls);
    udfvm_account_close(whole); /* the others have references */
    udfvm_account_close(one);
    udfvm_account_close(other);
    udfvm_account_close(NULL);
    udfvm_pool_close(pool);
}

/* A VM that was taken and given back without a call, told rows, a request that does not fit. */
static void test_what_is_no_call(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_account *account = udfvm_account_create(NULL, NULL);
    const struct udfvm_limits limits = { .account = account };
    const uint64_t request[] = { RAW_COUNT };
    struct udfvm_reply reply;
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_vm_tell(vm, 7, 0);
    udfvm_pool_give(pool, vm);
    check_number(last_of(account).number == 0, "a VM that was not called", 0);
    vm = udfvm_pool_take(pool, image, 0, NULL);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, WINDOW, &limits, &reply, NULL) ==
                     UDFVM_E_INPUT,
                 "a large request", 0);
    udfvm_pool_give(pool, vm);
    check_number(last_of(account).code == UDFVM_E_INPUT && last_of(account).rows == 1, "its report",
                 last_of(account).code);
    vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_vm_tell(vm, 7, 1);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_BATCH, request, 8, &limits, &reply, NULL) ==
                     UDFVM_OK,
                 "a call", 0);
    check_number(last_of(account).number == 1, "noted before its end", 0);
    udfvm_account_close(account); /* the call has a reference */
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

/* Parts of a batch: counted one by one in the sums, and one report. */
static void check_parts(udfvm_account *account, uint64_t number, uint64_t parts, const char *what)
{
    const struct udfvm_call_report report = last_of(account);
    check_number(report.number == number && report.parts == parts && report.rows == parts, what,
                 (long)report.parts);
}

static void check_call(udfvm_pool *pool, uint64_t what, udfvm_account *account, int code)
{
    const int found = call(pool, what, account, code == UDFVM_OK ? 0 : 1000000);
    check_number(found == code, "a call", found);
}

static void test_a_batch_in_parts(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_account *whole = udfvm_account_create(NULL, NULL),
                  *own = udfvm_account_create(whole, NULL),
                  *batch = udfvm_account_begin_batch(own, NULL),
                  *nested = udfvm_account_begin_batch(batch, NULL);
    check_call(pool, RAW_COUNT, own, UDFVM_OK);
    udfvm_account_end_batch(nested);
    check_parts(own, 1, 1, "a batch without parts");
    check_call(pool, RAW_COUNT, batch, UDFVM_OK);
    check_call(pool, RAW_LOOP, batch, UDFVM_E_TIMEOUT);
    check_call(pool, RAW_COUNT, nested, UDFVM_OK);
    check_parts(own, 1, 1, "a report before the end");
    udfvm_account_end_batch(batch);
    check_parts(own, 2, 3, "the sum of the parts");
    check_number(last_of(own).code == UDFVM_E_TIMEOUT, "the part that failed", last_of(own).code);
    check_call(pool, RAW_COUNT, batch, UDFVM_OK);
    check_parts(own, 2, 4, "a part that ended late");
    check_call(pool, RAW_COUNT, own, UDFVM_OK);
    check_call(pool, RAW_COUNT, batch, UDFVM_OK);
    check_parts(own, 3, 1, "a later call stays the last");
    check_number(sums_of(whole).calls == 7, "calls in all", (long)sums_of(whole).calls);
    udfvm_account_close(own); /* the batches have references */
    udfvm_account_close(whole);
    udfvm_account_close(batch);
    udfvm_account_close(nested);
    udfvm_pool_close(pool);
}

struct callers {
    udfvm_pool *pool;
    udfvm_account *account;
};

static void *call_often(void *argument)
{
    const struct callers *callers = argument;
    udfvm_account *own = udfvm_account_create(callers->account, NULL);
    for (unsigned i = 0; i < CALLS; i++)
        check_number(call(callers->pool, RAW_COUNT, own, 0) == UDFVM_OK, "one of many calls", i);
    check_number(last_of(own).number == CALLS, "calls of a thread", (long)last_of(own).number);
    udfvm_account_close(own);
    return NULL;
}

static void test_threads_note_all_calls(void)
{
    struct callers callers = { udfvm_pool_create(image, 4, NULL, NULL),
                               udfvm_account_create(NULL, NULL) };
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, call_often, &callers);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const struct udfvm_call_sums sums = sums_of(callers.account);
    check_number(sums.calls == THREADS * CALLS && sums.rows == sums.calls &&
                     sums.input == 8 * sums.calls && sums.exits >= sums.calls,
                 "calls of all threads", (long)sums.calls);
    udfvm_account_close(callers.account);
    udfvm_pool_close(callers.pool);
}

/* The thread sanitizer supports no threads that start in children, as a new VM's do. */
#ifdef __SANITIZE_THREAD__
#define CHILD_CALLS false
#else
#define CHILD_CALLS true
#endif

/* In a child: nothing is noted yet, and then its own call. */
static bool is_fresh(udfvm_account *account)
{
    bool holds = last_of(account).number == 0 && sums_of(account).calls == 0;
    if (!CHILD_CALLS)
        return holds;
    udfvm_pool *own = udfvm_pool_create(image, 1, NULL, NULL);
    holds = call(own, RAW_COUNT, account, 0) == UDFVM_OK && holds;
    udfvm_pool_close(own);
    return holds && sums_of(account).calls == 1;
}

static void test_a_child_begins_anew(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_account *account = udfvm_account_create(NULL, NULL);
    const struct udfvm_limits limits = { .account = account };
    const uint64_t request[] = { RAW_COUNT };
    struct udfvm_reply reply;
    check_number(call(pool, RAW_COUNT, account, 0) == UDFVM_OK, "a call", 0);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, 8, &limits, &reply, NULL) ==
                     UDFVM_OK,
                 "a call that a fork comes into", 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        udfvm_pool_give(pool, vm); /* no call of this process */
        _exit(is_fresh(account) ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    check_number(status == 0, "the child", status);
    udfvm_pool_give(pool, vm);
    check_number(sums_of(account).calls == 2, "calls of the parent", (long)sums_of(account).calls);
    udfvm_account_close(account);
    udfvm_pool_close(pool);
}

/* What the hook was told last, and of how many calls. */
static struct {
    udfvm_pool *pool;
    uint64_t label, number;
    unsigned calls, idle;
    int code; /* of a call that the hook made */
    bool inside;
} told;

static void take_report(uint64_t label, const struct udfvm_call_report *report)
{
    struct udfvm_pool_statistics statistics;
    udfvm_pool_statistics(told.pool, &statistics);
    told.calls++;
    if (told.inside)
        return;
    told.label = label;
    told.number = report->number;
    told.idle = statistics.idle;
    told.inside = true;
    told.code = call(told.pool, RAW_COUNT, NULL, 0);
    told.inside = false;
}

static void check_told(unsigned calls, uint64_t number)
{
    check_number(told.calls == calls && told.number == number, "calls that are told",
                 (long)told.calls);
    check_number(told.label == 7 && told.idle == 1 && told.code == UDFVM_OK,
                 "the pool as its hook finds it", told.code);
}

/* By what gives the VM back, also after a failure; a VM that is closed instead; and one of none. */
static void test_the_hook_is_told(void)
{
    udfvm_pool *pool = told.pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_account *account = udfvm_account_create(NULL, NULL);
    const struct udfvm_limits limits = { .account = account };
    const uint64_t request[] = { RAW_COUNT };
    struct udfvm_reply reply;
    udfvm_account_set_label(account, 7);
    udfvm_set_report_hook(take_report);
    check_number(call(pool, RAW_COUNT, account, 0) == UDFVM_OK, "a call", 0);
    check_told(1, 1);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, 8, &limits, &reply, NULL);
    udfvm_pool_give_small(pool, vm);
    check_told(2, 2);
    call(pool, RAW_COUNT, NULL, 0);
    check_told(2, 2);
    vm = udfvm_vm_open(image, NULL, NULL);
    udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, 8, &limits, &reply, NULL);
    udfvm_vm_restore(vm, NULL);
    check_told(3, 3);
    udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, 8, &limits, &reply, NULL);
    udfvm_vm_close(vm);
    check_told(4, 4);
    udfvm_set_report_hook(NULL);
    call(pool, RAW_COUNT, account, 0);
    check_told(4, 4);
    udfvm_account_close(account);
    udfvm_pool_close(pool);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "calls", test_calls_are_noted },       { "what is no call", test_what_is_no_call },
        { "a batch", test_a_batch_in_parts },    { "threads", test_threads_note_all_calls },
        { "a child", test_a_child_begins_anew }, { "the hook", test_the_hook_is_told },
    };
    return count < 2 ? 2 : run_with_image(arguments[1], tests, sizeof tests / sizeof *tests, NULL);
}
