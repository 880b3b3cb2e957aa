/* Deadlines of calls within calls, of calls that wait for a VM, of many threads and forked
 * children. Usage: test_deadline raw_guest.bin [--no-fork]. Prints what holds and what failed. */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include "deadlines.h"

static atomic_int looks;

static int look(void *context)
{
    (void)context;
    return atomic_fetch_add(&looks, 1) >= 2;
}

static void test_looks(void)
{
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    uint64_t answer;
    for (int blocked = 0; blocked < 2; blocked++) {
        set_all(blocked ? SIG_BLOCK : SIG_UNBLOCK);
        atomic_store(&looks, 0);
        udfvm_vm_set_watch(vm, look, NULL);
        check_number(call(vm, RAW_LOOP, blocked ? NULL : &late, &answer) == UDFVM_E_INTERRUPTED &&
                         looks == 3,
                     "looks at an endless call", looks);
        udfvm_vm_set_watch(vm, NULL, NULL); /* a slow machine looks at a short call, too */
        check_number(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1, "after looks",
                     blocked);
    }
    set_all(SIG_UNBLOCK);
    udfvm_vm_close(vm);
}

/* ---- Calls in the middle of a call: a host function makes them. ---- */

static udfvm_pool *pool;

static int inner_code;
static struct udfvm_error inner_error;

static int64_t call_within(void *context, const char *name, const void *arguments, uint64_t length,
                           void *reply, uint64_t capacity, char *failure)
{
    const uint64_t request[] = { (uint64_t)(uintptr_t)context };
    struct udfvm_pool_reply got = { .output = NULL };
    (void)name;
    (void)arguments;
    (void)length;
    (void)reply;
    (void)capacity;
    inner_code = udfvm_pool_call(pool, image, 600000 * MILLISECOND, UDFVM_REQUEST_ROW, request, 8,
                                 &late, &got, &inner_error);
    if (got.kept)
        udfvm_pool_give(pool, got.kept);
    strcpy(failure, "inner");
    return inner_code == UDFVM_OK ? 0 : UDFVM_HOST_FUNCTION_FAILED;
}

static int outer_call(udfvm_vm *vm, uint64_t inner, uint64_t timeout_ns)
{
    const struct udfvm_host_functions functions = { (void *)(uintptr_t)inner, call_within, 10 };
    const struct udfvm_limits limits = { .timeout_ns = timeout_ns, .host_functions = &functions };
    const uint64_t request[] = { RAW_HYPERCALL,     UDFVM_HYPERCALL_HOST_CALL,
                                 UDFVM_OUTPUT_BASE, 0,
                                 UDFVM_OUTPUT_BASE, 0,
                                 UDFVM_OUTPUT_BASE, 8 };
    uint64_t length, output[64];
    int status;
    return udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &limits, output,
                               sizeof output, &length, &status, NULL);
}

static void test_calls_within_a_call(void)
{
    pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    check_number(outer_call(vm, RAW_COUNT, 0) == UDFVM_OK && inner_code == UDFVM_OK,
                 "a call within a call", inner_code);
    const int code = outer_call(vm, RAW_LOOP, 20 * MILLISECOND);
    check_number(code == UDFVM_E_TIMEOUT && inner_code == UDFVM_E_TIMEOUT,
                 "an endless call within one", code);
    check_number(strstr(inner_error.message, "part of") != NULL, "of whose deadline it ended", 0);
    udfvm_vm *busy = udfvm_pool_take(pool, image, 0, NULL);
    check_number(outer_call(vm, RAW_COUNT, 20 * MILLISECOND) == UDFVM_E_TIMEOUT &&
                     inner_code == UDFVM_E_TIMEOUT,
                 "a wait within a call", inner_code);
    udfvm_pool_give(pool, busy);
    check_number(outer_call(vm, RAW_COUNT, 0) == UDFVM_OK && inner_code == UDFVM_OK,
                 "a call within a call, later", inner_code);
    keeps_deadlines("after calls within calls");
    udfvm_vm_close(vm);
    udfvm_pool_close(pool);
}

static void *give_later(void *vm)
{
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    udfvm_pool_give(pool, vm);
    return NULL;
}

/* What a call waits for its VM is of its time. */
static void test_waits_count(void)
{
    const struct udfvm_limits short_limits = { .timeout_ns = 20 * MILLISECOND };
    struct udfvm_pool_reply reply = { .output = NULL };
    struct udfvm_error error;
    const uint64_t loop[] = { RAW_LOOP };
    pthread_t giving;
    pool = udfvm_pool_create(image, 1, NULL, NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    check_number(udfvm_pool_call(pool, image, 600000 * MILLISECOND, UDFVM_REQUEST_ROW, loop, 8,
                                 &short_limits, &reply, &error) == UDFVM_E_TIMEOUT &&
                     strstr(error.message, "did not begin"),
                 "a wait that lasts too long", 0);
    check_number(udfvm_pool_call(pool, image, MILLISECOND, UDFVM_REQUEST_ROW, loop, 8, &late,
                                 &reply, NULL) == UDFVM_E_BUSY,
                 "a short wait", 0);
    pthread_create(&giving, NULL, give_later, vm);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    const struct udfvm_limits more = { .timeout_ns = 1500 * MILLISECOND };
    check_number(udfvm_pool_call(pool, image, 600000 * MILLISECOND, UDFVM_REQUEST_ROW, loop, 8,
                                 &more, &reply, &error) == UDFVM_E_TIMEOUT,
                 "waited, then endless", 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    pthread_join(giving, NULL);
    check_number(strstr(error.message, "within 1.5 s") != NULL, "the timeout that was given", 0);
    check_number(after.tv_sec - before.tv_sec < 600, "the end of both",
                 after.tv_sec - before.tv_sec);
    udfvm_pool_close(pool);
}

/* A look at a stream may take its time stamp before the request that it then finds has one. */
static void test_time_stamps_in_any_order(void)
{
    check_number(udfvm_ticks_between(3, 5) == 2, "in order", 0);
    check_number(udfvm_ticks_between(5, 5) == 0, "the same", 0);
    check_number(udfvm_ticks_between(6, 5) == 0, "the other thread is ahead", 0);
}

static void *call_often(void *argument)
{
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    unsigned seed = *(unsigned *)argument;
    if (seed % 2)
        set_all(SIG_BLOCK);
    for (int i = 0; i < 40; i++) {
        const struct udfvm_limits limits = { .timeout_ns = (uint64_t)(1 + rand_r(&seed) % 4000) *
                                                           1000 };
        const bool endless = rand_r(&seed) % 3 == 0;
        uint64_t answer = 0;
        const int code = call(vm, endless ? RAW_LOOP : RAW_COUNT, &limits, &answer);
        check_number(code == UDFVM_E_TIMEOUT || (!endless && code == UDFVM_OK && answer == 1),
                     "a call among many", code);
    }
    udfvm_vm_close(vm);
    return NULL;
}

/* Deadlines that pass as calls begin and end, of threads that have the same VMs one after the
 * other. */
static void test_threads(void)
{
    pthread_t threads[8];
    unsigned seeds[8];
    for (unsigned i = 0; i < 8; i++) {
        seeds[i] = i;
        pthread_create(&threads[i], NULL, call_often, &seeds[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void *fork_often(void *argument)
{
    atomic_bool *ended = argument;
    while (!atomic_load(ended)) {
        const pid_t child = fork();
        if (child == 0) {
            atomic_store(&failures, 0);
            keeps_deadlines("in a child");
            _exit(failures);
        }
        int status;
        waitpid(child, &status, 0);
        check_number(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed", status);
    }
    return NULL;
}

static void test_forks_meanwhile(void)
{
    pthread_t forking;
    atomic_bool ended = false;
    fflush(stdout);
    pthread_create(&forking, NULL, fork_often, &ended);
    for (int i = 0; i < 5; i++)
        keeps_deadlines("while another thread forks");
    atomic_store(&ended, true);
    pthread_join(forking, NULL);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "looks", test_looks },
        { "time stamps", test_time_stamps_in_any_order },
        { "within", test_calls_within_a_call },
        { "waits", test_waits_count },
        { "threads", test_threads },
        { "forks", test_forks_meanwhile },
    };
    return run_with_alarm(count, arguments, tests, sizeof tests / sizeof *tests,
                          count > 2 ? test_forks_meanwhile : NULL);
}
