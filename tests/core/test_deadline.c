/* Deadlines, whatever the program does with its signals and limits. Usage: test_deadline
 * raw_guest.bin. Prints what holds and what failed. A deadline that is not kept is a test that does
 * not end: an alarm ends it. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "raw_guest.h"

#define MEMORY      (16ull << 20)
#define WINDOW      (2ull << 20)
#define MILLISECOND 1000000ull
#define KICK        (SIGRTMAX - 3)

static atomic_int failures;
static udfvm_image *image;
static char kernel[1 << 20];
static const struct udfvm_limits soon = { .timeout_ns = 5 * MILLISECOND },
                                 late = { .timeout_ns = 600000 * MILLISECOND };

static void check(bool holds, const char *what, long number)
{
    if (holds)
        return;
    printf("%s: %ld\n", what, number);
    atomic_fetch_add(&failures, 1);
}

static void build(const char *path)
{
    const struct udfvm_config config = { .memory = MEMORY,
                                         .input_window = WINDOW,
                                         .output_window = WINDOW };
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    const int fd = open(path, O_RDONLY);
    const ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    udfvm_vm *vm = length > 0 ? udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot,
                                              NULL, NULL, NULL, NULL)
                              : NULL;
    FILE *file = tmpfile();
    if (!vm || udfvm_vm_seal(vm, fileno(file), "raw", 3, NULL) != UDFVM_OK ||
        !(image = udfvm_image_open(fileno(file), NULL, NULL)))
        exit(2);
    fclose(file);
    udfvm_vm_close(vm);
}

static int call(udfvm_vm *vm, uint64_t command, const struct udfvm_limits *limits, uint64_t *answer)
{
    const uint64_t request[] = { command };
    uint64_t length;
    int status;
    return udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, limits, answer, 8,
                               &length, &status, NULL);
}

/* An endless call ends, one with time enough is not disturbed by it, and the VM goes on. */
static void keeps_deadlines(const char *where)
{
    static const uint64_t endless[] = { RAW_LOOP, RAW_SYSCALL_LOOP };
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t answer = 0;
        int code = call(vm, endless[i % 2], &soon, &answer);
        check(code == UDFVM_E_TIMEOUT, where, code);
        code = call(vm, RAW_COUNT, &late, &answer);
        check(code == UDFVM_OK && answer == 1, where, code);
        code = call(vm, RAW_COUNT, NULL, &answer);
        check(code == UDFVM_OK && answer == 1, where, code);
    }
    udfvm_vm_close(vm);
}

static void set_all(int how)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGALRM); /* which ends a test that hangs */
    pthread_sigmask(how, &all, NULL);
}

static atomic_int handled;
static void count(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static void test_signals_are_the_programs(void)
{
    void (*const handlers[])(int) = { SIG_DFL, SIG_IGN, count };
    keeps_deadlines("with signals as they are");
    for (unsigned blocked = 0; blocked < 2; blocked++) {
        set_all(blocked ? SIG_BLOCK : SIG_UNBLOCK);
        for (size_t i = 0; i < 3; i++) {
            signal(KICK, handlers[i]);
            signal(SIGURG, handlers[i]);
            keeps_deadlines(blocked ? "with all signals blocked" : "with another handler");
        }
    }
    set_all(SIG_UNBLOCK);
    signal(KICK, SIG_DFL);
}

/* What the program holds back stays held back, and neither ends the call nor keeps the processor
 * from it. */
static void test_pending_signals_stay_so(void)
{
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    const int held[] = { SIGUSR1, SIGTERM, SIGINT, SIGURG, SIGRTMIN + 2 };
    uint64_t answer = 0;
    sigset_t pending;
    set_all(SIG_BLOCK);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        i % 2 ? raise(held[i]) : kill(getpid(), held[i]);
    for (unsigned i = 0; i < 3; i++) {
        check(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
              "an endless call with signals pending", i);
        check(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
              "a call with signals pending", i);
    }
    sigpending(&pending);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        check(sigismember(&pending, held[i]), "a pending signal is gone", held[i]);
    check(!sigismember(&pending, KICK), "a kick is left behind", 0);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        signal(held[i], SIG_IGN); /* which drops it */
    set_all(SIG_UNBLOCK);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        signal(held[i], SIG_DFL);
    udfvm_vm_close(vm);
}

static void *wait_for_signal(void *got)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigwait(&one, got);
    return NULL;
}

/* A signal of the process reaches the thread that waits for it, while another is in a guest with it
 * blocked. */
static void test_signals_reach_who_waits(void)
{
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    const struct udfvm_limits limits = { .timeout_ns = 50 * MILLISECOND };
    uint64_t answer;
    for (int i = 0; i < 10; i++) {
        pthread_t waiting;
        int got = 0;
        set_all(SIG_BLOCK);
        pthread_create(&waiting, NULL, wait_for_signal, &got);
        const pid_t child = fork();
        if (child == 0) {
            kill(getppid(), SIGUSR1);
            _exit(0);
        }
        check(call(vm, RAW_LOOP, &limits, &answer) == UDFVM_E_TIMEOUT, "an endless call", i);
        pthread_join(waiting, NULL);
        check(got == SIGUSR1, "another signal", got);
        waitpid(child, NULL, 0);
    }
    set_all(SIG_UNBLOCK);
    udfvm_vm_close(vm);
}

/* A signal that waits makes the vCPU ignore what its thread blocks. The kick that is sent where a
 * process may queue none is not among that. Before all other tests that need it: from its first use
 * on it is always taken. */
static void test_the_other_kick_while_signals_wait(void)
{
    struct rlimit signals;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    uint64_t answer = 0;
    sigset_t waiting;
    sigemptyset(&waiting);
    sigaddset(&waiting, SIGTERM);
    getrlimit(RLIMIT_SIGPENDING, &signals);
    set_all(SIG_BLOCK);
    raise(SIGTERM);
    check(call(vm, RAW_COUNT, NULL, &answer) == UDFVM_OK, "a call with a signal pending", 0);
    setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 0, signals.rlim_max });
    check(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
          "an endless call with a signal pending, at the limit", 0);
    check(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
          "a call with a signal pending, at the limit", 0);
    setrlimit(RLIMIT_SIGPENDING, &signals);
    check(sigtimedwait(&waiting, NULL, &(struct timespec){ 0 }) == SIGTERM, "the signal", 0);
    set_all(SIG_UNBLOCK);
    udfvm_vm_close(vm);
}

static void test_limits_of_the_process(void)
{
    struct rlimit files, signals;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    uint64_t answer = 0;
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_SIGPENDING, &signals);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, files.rlim_max });
    setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 0, signals.rlim_max });
    for (int blocked = 0; blocked < 2; blocked++) {
        set_all(blocked ? SIG_BLOCK : SIG_UNBLOCK);
        for (int i = 0; i < 3; i++) {
            check(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
                  "an endless call at the limits of the process", blocked);
            check(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
                  "a call at the limits of the process", blocked);
        }
    }
    set_all(SIG_UNBLOCK);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_SIGPENDING, &signals);
    udfvm_vm_close(vm);
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
        check(code == UDFVM_E_TIMEOUT || (!endless && code == UDFVM_OK && answer == 1),
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
            _exit(atomic_load(&failures));
        }
        int status;
        waitpid(child, &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed", status);
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
        check(call(vm, RAW_LOOP, blocked ? NULL : &late, &answer) == UDFVM_E_INTERRUPTED &&
                  looks == 3,
              "looks at an endless call", looks);
        check(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1, "after looks",
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
    check(outer_call(vm, RAW_COUNT, 0) == UDFVM_OK && inner_code == UDFVM_OK,
          "a call within a call", inner_code);
    const int code = outer_call(vm, RAW_LOOP, 20 * MILLISECOND);
    check(code == UDFVM_E_TIMEOUT && inner_code == UDFVM_E_TIMEOUT, "an endless call within one",
          code);
    check(strstr(inner_error.message, "part of") != NULL, "of whose deadline it ended", 0);
    udfvm_vm *busy = udfvm_pool_take(pool, image, 0, NULL);
    check(outer_call(vm, RAW_COUNT, 20 * MILLISECOND) == UDFVM_E_TIMEOUT &&
              inner_code == UDFVM_E_TIMEOUT,
          "a wait within a call", inner_code);
    udfvm_pool_give(pool, busy);
    check(outer_call(vm, RAW_COUNT, 0) == UDFVM_OK && inner_code == UDFVM_OK,
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
    check(udfvm_pool_call(pool, image, 600000 * MILLISECOND, UDFVM_REQUEST_ROW, loop, 8,
                          &short_limits, &reply, &error) == UDFVM_E_TIMEOUT &&
              strstr(error.message, "did not begin"),
          "a wait that lasts too long", 0);
    check(udfvm_pool_call(pool, image, MILLISECOND, UDFVM_REQUEST_ROW, loop, 8, &late, &reply,
                          NULL) == UDFVM_E_BUSY,
          "a short wait", 0);
    pthread_create(&giving, NULL, give_later, vm);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    const struct udfvm_limits more = { .timeout_ns = 1500 * MILLISECOND };
    check(udfvm_pool_call(pool, image, 600000 * MILLISECOND, UDFVM_REQUEST_ROW, loop, 8, &more,
                          &reply, &error) == UDFVM_E_TIMEOUT,
          "waited, then endless", 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    pthread_join(giving, NULL);
    check(strstr(error.message, "within 1.5 s") != NULL, "the timeout that was given", 0);
    check(after.tv_sec - before.tv_sec < 600, "the end of both", after.tv_sec - before.tv_sec);
    udfvm_pool_close(pool);
}

/* A look at a stream may take its time stamp before the request that it then finds has one. */
static void test_time_stamps_in_any_order(void)
{
    check(udfvm_ticks_between(3, 5) == 2, "in order", 0);
    check(udfvm_ticks_between(5, 5) == 0, "the same", 0);
    check(udfvm_ticks_between(6, 5) == 0, "the other thread is ahead", 0);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        { "signals", test_signals_are_the_programs },
        { "pending", test_pending_signals_stay_so },
        { "waiting", test_signals_reach_who_waits },
        { "the other kick", test_the_other_kick_while_signals_wait },
        { "limits", test_limits_of_the_process },
        { "looks", test_looks },
        { "time stamps", test_time_stamps_in_any_order },
        { "within", test_calls_within_a_call },
        { "waits", test_waits_count },
        { "threads", test_threads },
        { "forks", test_forks_meanwhile },
    };
    alarm(500);
    build(arguments[count > 1]);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        const int before = atomic_load(&failures);
        if (count > 2 && tests[i].run == test_forks_meanwhile)
            continue; /* the thread sanitizer does not support threads that start in children */
        tests[i].run();
        printf("%s: %s\n", tests[i].name, atomic_load(&failures) == before ? "holds" : "FAILED");
        fflush(stdout);
    }
    udfvm_image_close(image);
    return atomic_load(&failures) != 0;
}
