/* Deadlines, whatever the program does with its signals and with the limits of its process. Usage:
 * test_deadline_signals raw_guest.bin. Prints what holds and what failed. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include "deadlines.h"

#define KICK (SIGRTMAX - 3)
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
        check_number(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
                     "an endless call with signals pending", i);
        check_number(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
                     "a call with signals pending", i);
    }
    sigpending(&pending);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        check_number(sigismember(&pending, held[i]), "a pending signal is gone", held[i]);
    check_number(!sigismember(&pending, KICK), "a kick is left behind", 0);
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
        check_number(call(vm, RAW_LOOP, &limits, &answer) == UDFVM_E_TIMEOUT, "an endless call", i);
        pthread_join(waiting, NULL);
        check_number(got == SIGUSR1, "another signal", got);
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
    check_number(call(vm, RAW_COUNT, NULL, &answer) == UDFVM_OK, "a call with a signal pending", 0);
    setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 0, signals.rlim_max });
    check_number(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
                 "an endless call with a signal pending, at the limit", 0);
    check_number(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
                 "a call with a signal pending, at the limit", 0);
    setrlimit(RLIMIT_SIGPENDING, &signals);
    check_number(sigtimedwait(&waiting, NULL, &(struct timespec){ 0 }) == SIGTERM, "the signal", 0);
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
            check_number(call(vm, RAW_LOOP, &soon, &answer) == UDFVM_E_TIMEOUT,
                         "an endless call at the limits of the process", blocked);
            check_number(call(vm, RAW_COUNT, &late, &answer) == UDFVM_OK && answer == 1,
                         "a call at the limits of the process", blocked);
        }
    }
    set_all(SIG_UNBLOCK);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_SIGPENDING, &signals);
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "signals", test_signals_are_the_programs },
        { "pending", test_pending_signals_stay_so },
        { "waiting", test_signals_reach_who_waits },
        { "the other kick", test_the_other_kick_while_signals_wait },
        { "limits", test_limits_of_the_process },
    };
    return run_with_alarm(count, arguments, tests, sizeof tests / sizeof *tests, NULL);
}
