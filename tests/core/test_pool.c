/* Pools under every operation at once, and functions of api.h that are not asked for their error.
 * Usage: test_pool raw_guest.bin [rounds [--no-fork]]. Prints what holds and what failed. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "api.h"
#include "raw_guest.h"

#define MEMORY     (16ull << 20)
#define WINDOW     (2ull << 20)
#define THREADS    8u
#define OPERATIONS 60u
#define FORKS      20
#define SECOND     1000000000ull

static atomic_int failures;
static udfvm_image *image;
static char kernel[1 << 20];
static size_t kernel_length;
static unsigned rounds = 6;

static void check(bool holds, const char *what, long number)
{
    if (holds)
        return;
    printf("%s: %ld\n", what, number);
    atomic_fetch_add(&failures, 1);
}

static udfvm_vm *boot(void)
{
    const struct udfvm_config config = { .memory = MEMORY,
                                         .input_window = WINDOW,
                                         .output_window = WINDOW };
    const struct udfvm_boot request = { .memory_end = MEMORY };
    return udfvm_vm_boot(&config, kernel, kernel_length, &request, sizeof request, NULL, NULL, NULL,
                         NULL);
}

static udfvm_image *sealed(udfvm_vm *vm, udfvm_image *base)
{
    FILE *file = tmpfile();
    check(udfvm_vm_seal(vm, fileno(file), "raw", 3, NULL) == UDFVM_OK, "sealing", 0);
    udfvm_image *made = udfvm_image_open(fileno(file), base, NULL);
    fclose(file);
    return made;
}

/* ---- Every operation, in an order of chance ---- */

struct rig {
    udfvm_pool *pool;
    unsigned limit;
    atomic_bool shut;
    atomic_uint answered;
};
struct user {
    pthread_t thread;
    struct rig *rig;
    unsigned seed, shuts_at;
};

/* What a taken VM answers: it was restored, whoever had it before. */
static void use(struct rig *rig, udfvm_vm *vm)
{
    static const struct udfvm_limits limits = { .timeout_ns = 60 * SECOND };
    const uint64_t request[] = { RAW_COUNT };
    struct udfvm_reply reply;
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &limits, &reply,
                                   NULL);
    check(code == UDFVM_OK && *(const uint64_t *)reply.data == 1, "a VM of the pool had a past",
          code);
    atomic_fetch_add(&rig->answered, 1);
}

static void take_and_give(struct rig *rig, uint64_t wait_ns)
{
    struct udfvm_error error;
    const bool was_shut = atomic_load(&rig->shut);
    udfvm_vm *vm = udfvm_pool_take(rig->pool, image, wait_ns, &error);
    if (!vm) {
        check(error.code == UDFVM_E_CLOSED || (error.code == UDFVM_E_BUSY && !was_shut),
              "no VM was taken", error.code);
        return;
    }
    check(!was_shut, "a VM was taken from a closed pool", 0);
    use(rig, vm);
    udfvm_pool_give(rig->pool, vm);
}

static void call(struct rig *rig, uint64_t capacity)
{
    uint64_t output[8], request[] = { RAW_ECHO, 3, 7 };
    struct udfvm_pool_reply reply = { .output = output, .capacity = capacity };
    struct udfvm_error error;
    const int code = udfvm_pool_call(rig->pool, image, 60 * SECOND, UDFVM_REQUEST_ROW, request,
                                     sizeof request, NULL, &reply, &error);
    check(code == UDFVM_OK || code == UDFVM_E_CLOSED, "a call of a pool", code);
    check((reply.kept != NULL) == (code == UDFVM_OK && capacity < sizeof request),
          "a reply was kept, or not", code);
    if (code == UDFVM_OK)
        check(memcmp(reply.kept ? reply.data : output, request, sizeof request) == 0,
              "a reply is another", 0);
    if (reply.kept)
        udfvm_pool_give(rig->pool, reply.kept);
}

static void look(struct rig *rig)
{
    struct udfvm_pool_statistics statistics;
    udfvm_pool_statistics(rig->pool, &statistics);
    check(statistics.limit == rig->limit && statistics.live <= rig->limit,
          "more VMs than the limit", statistics.live);
    check(statistics.idle <= statistics.live, "more are idle than there are", statistics.idle);
}

static void shut(struct rig *rig)
{
    udfvm_pool_shut(rig->pool);
    atomic_store(&rig->shut, true);
}

static void operate(struct user *user)
{
    struct rig *rig = user->rig;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (i == user->shuts_at)
            shut(rig);
        switch (rand_r(&user->seed) % 9) {
        case 0:
            take_and_give(rig, 0);
            break;
        case 1:
            take_and_give(rig, 60 * SECOND);
            break;
        case 2:
            call(rig, 64);
            break;
        case 3:
            call(rig, 8);
            break;
        case 4:
            udfvm_pool_trim(rig->pool, (unsigned)rand_r(&user->seed) % 3);
            break;
        case 5:
            udfvm_pool_trim_old(rig->pool, 1, (uint64_t)rand_r(&user->seed) % 1000000);
            break;
        case 6:
            udfvm_pool_set_idle(rig->pool, (unsigned)rand_r(&user->seed) % 4);
            break;
        case 7:
            look(rig);
            break;
        case 8:
            udfvm_pool_close(udfvm_pool_retain(rig->pool));
            break;
        }
    }
}

static void *use_pool(void *argument)
{
    struct user *user = argument;
    operate(user);
    udfvm_pool_close(user->rig->pool); /* each user has a reference: the last frees it */
    return NULL;
}

static void test_every_operation_at_once(void)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct rig rig = { .limit = 1 + round % 4 };
        struct user users[THREADS];
        rig.pool = udfvm_pool_create(image, rig.limit, NULL, NULL);
        for (unsigned i = 0; i < THREADS; i++) {
            users[i] = (struct user){ .rig = &rig,
                                      .seed = round * 100 + i,
                                      .shuts_at = round % 2 && i == 5 ? OPERATIONS / 2
                                                                      : UINT32_MAX };
            if (i)
                udfvm_pool_retain(rig.pool);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_create(&users[i].thread, NULL, use_pool, &users[i]);
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(users[i].thread, NULL);
        check(atomic_load(&rig.answered) > 0, "no VM was ever used", round);
    }
}

/* ---- In an order that is told ---- */

static void test_nothing_is_kept_idle(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 2, NULL, NULL);
    struct udfvm_pool_statistics statistics;
    struct rig rig = { .pool = pool, .limit = 2 };
    udfvm_pool_set_idle(pool, 0);
    for (int i = 0; i < 3; i++)
        take_and_give(&rig, 0);
    udfvm_pool_statistics(pool, &statistics);
    check(rig.answered == 3 && statistics.live == 0 && statistics.idle == 0,
          "VMs of a pool that keeps none", statistics.live);
    udfvm_pool_set_idle(pool, 2);
    take_and_give(&rig, 0);
    udfvm_pool_set_idle(pool, 0); /* at once, not at the next call */
    udfvm_pool_statistics(pool, &statistics);
    check(rig.answered == 4 && statistics.live == 0, "idle VMs of a pool that keeps none any more",
          statistics.live);
    udfvm_pool_close(pool);
}

static void check_refused(udfvm_pool *pool, uint64_t wait_ns, int code, const char *what)
{
    struct udfvm_error error = { .code = UDFVM_OK };
    const udfvm_vm *vm = udfvm_pool_take(pool, image, wait_ns, &error);
    check(!vm && error.code == code, what, error.code);
}

static void *wait_for_one(void *pool)
{
    check_refused(pool, 600 * SECOND, UDFVM_E_CLOSED, "who waits on a closed pool");
    return NULL;
}

static void test_a_pool_is_closed_while_calls_wait(void)
{
    pthread_t waiting[THREADS];
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    struct rig rig = { .pool = pool, .limit = 1 };
    struct udfvm_pool_statistics statistics;
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&waiting[i], NULL, wait_for_one, pool);
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 },
              NULL); /* some wait now, others come to a closed pool */
    udfvm_pool_shut(pool);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(waiting[i], NULL);
    use(&rig, vm); /* who has one goes on */
    udfvm_pool_give(pool, vm);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 0 && statistics.idle == 0, "a closed pool keeps VMs", statistics.live);
    check_refused(pool, 0, UDFVM_E_CLOSED, "a closed pool gave a VM");
    udfvm_pool_shut(pool);
    udfvm_pool_close(pool);
}

static void test_the_last_vm_outlives_its_pool(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    struct rig rig = { .pool = pool, .limit = 1 };
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    udfvm_pool_close(pool);
    use(&rig, vm);
    udfvm_pool_give(pool, vm);
}

static void test_a_forked_child_touches_nothing(void)
{
    udfvm_pool *pool = udfvm_pool_create(image, 2, NULL, NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        struct udfvm_pool_statistics statistics;
        atomic_store(&failures, 0);
        check_refused(pool, 0, UDFVM_E_FORKED, "a child took a VM");
        udfvm_pool_set_idle(pool, 0);
        udfvm_pool_trim(pool, 0);
        udfvm_pool_shut(pool);
        udfvm_pool_statistics(pool, &statistics);
        check(statistics.live == 0, "the parent's VMs are not the child's", statistics.live);
        udfvm_pool_give(pool, vm);
        udfvm_pool_close(pool);
        fflush(stdout);
        _exit(atomic_load(&failures));
    }
    int status;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed", status);
    struct rig rig = { .pool = pool, .limit = 2 };
    use(&rig, vm);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

/* A child finds the lists of its parent's pools whole, whatever the parent's threads were about to
 * change, and its own pools usable. */
static void be_child_of_users(const struct rig *rig)
{
    struct rig own = { .pool = udfvm_pool_create(image, 1, NULL, NULL), .limit = 1 };
    atomic_store(&failures, 0);
    check_refused(rig->pool, 0, UDFVM_E_FORKED, "a child took a VM");
    udfvm_pool_trim(rig->pool, 0);
    udfvm_pool_close(rig->pool); /* the only reference: it is freed, unless VMs are taken */
    take_and_give(&own, 0);
    check(atomic_load(&own.answered) == 1, "a child's own pool", 0);
    udfvm_pool_close(own.pool);
    fflush(stdout);
    _exit(atomic_load(&failures) != 0);
}

static atomic_bool forked_enough;

static void *use_until_forked(void *user)
{
    while (!atomic_load(&forked_enough))
        operate(user);
    return NULL;
}

static void test_forks_meanwhile(void)
{
    struct rig rig = { .limit = 4 };
    struct user users[THREADS];
    rig.pool = udfvm_pool_create(image, rig.limit, NULL, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){ .rig = &rig, .seed = 1000 + i, .shuts_at = UINT32_MAX };
        pthread_create(&users[i].thread, NULL, use_until_forked, &users[i]);
    }
    for (unsigned i = 0; i < FORKS; i++) {
        int status;
        fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            alarm(60); /* where a lock is held for ever */
            be_child_of_users(&rig);
        }
        waitpid(child, &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "a child that was forked meanwhile failed", status);
    }
    atomic_store(&forked_enough, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(users[i].thread, NULL);
    udfvm_pool_close(rig.pool);
}

/* ---- Larger windows ---- */

static uint64_t ask(udfvm_vm *vm, const uint64_t *request, size_t bytes, size_t word)
{
    struct udfvm_reply reply = { .length = 0 };
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, bytes, NULL, &reply, NULL);
    if (code != UDFVM_OK || reply.length < (word + 1) * sizeof(uint64_t))
        return (uint64_t)-1 - (uint64_t)code;
    const uint64_t answer = ((const uint64_t *)reply.data)[word];
    return answer;
}

/* The guest reaches the first and the last word of windows of gigabytes, and nothing past them. */
static void test_windows_of_gigabytes(void)
{
    const struct udfvm_windows windows = { .input = 3ull << 30,
                                           .output = 2ull << 30,
                                           .scratch = 3ull << 30 };
    const uint64_t input_end = UDFVM_INPUT_BASE + windows.input,
                   output_end = UDFVM_OUTPUT_BASE + windows.output + windows.scratch;
    const uint64_t open[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED },
                   places[] = { output_end - 8, UDFVM_OUTPUT_BASE + (1ull << 30),
                                output_end - (1ull << 30) - 8 };
    udfvm_vm *vm = udfvm_vm_open_windows(image, &windows, NULL, NULL);
    check(vm != NULL, "a VM with large windows", 0);
    const uint64_t room = udfvm_vm_input_capacity(vm);
    check(room == windows.input - 4096, "the size of the input window", (long)room);
    for (uint64_t at = input_end - 8; at > UDFVM_INPUT_BASE + 4096; at -= (1ull << 30) - 8) {
        const uint64_t marker = at ^ 0x5a5a5a5a, read[] = { RAW_READ, at };
        struct udfvm_reply reply = { .length = 0 };
        uint8_t *input = udfvm_vm_input(vm, room, NULL);
        memcpy(input, read, sizeof read);
        memcpy(input + (at - UDFVM_INPUT_PAYLOAD), &marker, sizeof marker);
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, room, NULL, &reply, NULL) == UDFVM_OK &&
                  ((const uint64_t *)reply.data)[1] == marker,
              "the guest reads its input", (long)(at >> 20));
    }
    check(ask(vm, open, sizeof open, 0) == 0, "opening the rest", 0);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const uint64_t write[] = { RAW_WRITE, places[i], i + 7 }, read[] = { RAW_READ, places[i] };
        check(ask(vm, write, sizeof write, 0) == RAW_EXECUTED &&
                  ask(vm, read, sizeof read, 1) == i + 7,
              "the guest writes", (long)i);
    }
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const uint64_t read[] = { RAW_READ, places[i] };
        check(ask(vm, read, sizeof read, 1) == 0, "what was written is gone", (long)i);
    }
    const uint64_t behind[] = { RAW_READ, output_end }, past[] = { RAW_READ, input_end };
    check(ask(vm, behind, sizeof behind, 0) != RAW_EXECUTED, "read past the scratch", 0);
    udfvm_vm_restore(vm, NULL);
    check(ask(vm, past, sizeof past, 0) != RAW_EXECUTED, "read past the input", 0);
    udfvm_vm_close(vm);
}

static void test_a_vm_with_larger_windows_is_for_once(void)
{
    const struct udfvm_windows windows = { .input = 4 * WINDOW,
                                           .output = 2 * WINDOW,
                                           .scratch = WINDOW },
                               odd = { .input = 1 };
    struct udfvm_pool_statistics statistics;
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    struct rig rig = { .pool = pool, .limit = 1 };
    udfvm_pool_give(pool, udfvm_pool_take(pool, image, 0, NULL));
    for (int i = 0; i < 3; i++) {
        udfvm_vm *vm = udfvm_pool_take_windows(pool, image, &windows, 0, 0,
                                               NULL); /* the idle one makes room */
        check(vm && udfvm_vm_input_capacity(vm) == windows.input - 4096, "a larger window", i);
        check(!udfvm_pool_take(pool, image, 0, NULL) &&
                  !udfvm_pool_take_windows(pool, image, &windows, 0, 0, NULL),
              "two of one", i);
        use(&rig, vm);
        udfvm_pool_give(pool, vm);
        udfvm_pool_statistics(pool, &statistics);
        check(statistics.live == 0 && statistics.idle == 0, "it is closed", i);
        vm = udfvm_pool_take(pool, image, 0, NULL);
        check(vm && udfvm_vm_input_capacity(vm) == WINDOW - 4096, "a usual window", i);
        udfvm_pool_give(pool, vm);
    }
    check(!udfvm_pool_take_windows(pool, image, &odd, 0, 0, NULL) &&
              !udfvm_vm_open_windows(image, &odd, NULL, NULL),
          "an odd window", 0);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 0, "nothing is left of it", statistics.live);
    udfvm_pool_shut(pool);
    check(!udfvm_pool_take_windows(pool, image, &windows, SECOND, 0, NULL),
          "taken from a closed pool", 0);
    udfvm_pool_close(pool);
}

/* ---- Nobody asks for the error: each function of api.h that has one, where it works and where it
 * fails. ---- */

static void test_errors_that_nobody_asks_for_of_vms(void)
{
    const uint64_t count[] = { RAW_COUNT }, loop[] = { RAW_LOOP };
    const struct udfvm_limits short_limits = { .timeout_ns = 1000000 };
    const struct udfvm_config odd = { .memory = 1 };
    struct udfvm_reply reply;
    uint64_t length, output;
    int status;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    check(!udfvm_vm_boot(&odd, "", 0, "", 0, NULL, NULL, NULL, NULL), "booted of an odd size", 0);
    check(udfvm_vm_check(vm, NULL) == UDFVM_OK, "a VM of this process", 0);
    check(udfvm_vm_seal(vm, -1, "", 0, NULL) == UDFVM_E_ARGUMENT, "sealed without being asked", 0);
    check(udfvm_vm_seal_named(vm, -1, NULL, "", 0, NULL) == UDFVM_E_ARGUMENT,
          "sealed without being asked", 1);
    check(udfvm_vm_check(vm, NULL) == UDFVM_OK, "a VM of this process", 0);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) == UDFVM_OK, "a call",
          0);
    check(udfvm_vm_borrow(vm, 0, 8, NULL) && !udfvm_vm_borrow(vm, 1, 8, NULL) &&
              udfvm_vm_restore(vm, NULL) == UDFVM_OK,
          "lending, restoring", 0);
    check(udfvm_vm_input(vm, 8, NULL) && !udfvm_vm_input(vm, WINDOW, NULL), "a request in place",
          0);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &reply, NULL) ==
              UDFVM_E_TIMEOUT,
          "an endless call", 0);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) == UDFVM_E_ARGUMENT,
          "not restored", 0);
    check(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
              UDFVM_E_ARGUMENT,
          "not restored", 0);
    check(udfvm_vm_bind(vm, image, NULL) == UDFVM_E_ARGUMENT, "bound without being restored", 0);
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK && udfvm_vm_bind(vm, image, NULL) == UDFVM_OK,
          "restoring, binding", 0);
    check(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, WINDOW, NULL, &reply, NULL) ==
              UDFVM_E_INPUT,
          "a large request", 0);
    for (unsigned i = 0; i < 10;
         i++) /* the raw guest knows no ring: it fails where a thread would go on */
        check(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
                      UDFVM_OK ||
                  i >= 7,
              "a stream", i);
    check(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    check(udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &output, 8, &length,
                              &status, NULL) == UDFVM_E_TIMEOUT &&
              udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &output, 8, &length,
                                  &status, NULL) == UDFVM_OK,
          "fresh calls", 0);
    udfvm_vm_close(vm);
}

static void test_errors_that_nobody_asks_for(void)
{
    const uint64_t count[] = { RAW_COUNT }, loop[] = { RAW_LOOP };
    const struct udfvm_limits short_limits = { .timeout_ns = 1000000 };
    struct udfvm_system system;
    struct udfvm_pool_reply reply = { .output = NULL };
    double microseconds[2];
    FILE *empty = tmpfile();
    test_errors_that_nobody_asks_for_of_vms();
    check(udfvm_system_probe(&system, NULL) == UDFVM_OK, "the probe", 0);
    check(udfvm_measure_exits(microseconds, 2, NULL) == UDFVM_OK, "the floor", 0);
    check(!udfvm_image_open(fileno(empty), NULL, NULL) && !udfvm_image_open(-1, NULL, NULL),
          "opened what is no image", 0);
    check(!udfvm_image_open_within(fileno(empty), 0, 0, NULL, NULL),
          "opened what is no part of an image", 0);
    check(!udfvm_image_open_cached("/nowhere", "none", NULL, NULL), "opened what is nowhere", 0);
    check(udfvm_private_open("/nowhere", "none", O_RDONLY, NULL) < 0 &&
              udfvm_private_open("/dev", "null", O_RDONLY, NULL) < 0,
          "opened a device", 0);
    check(!udfvm_image_open_within(fileno(empty), 4096, 4096, NULL, NULL),
          "opened what is no part of a file", 0);
    check(udfvm_image_verify(image, NULL) == UDFVM_OK, "verifying", 0);
    check(!udfvm_pool_create(image, 0, NULL, NULL), "a pool of none", 0);
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &reply,
                          NULL) == UDFVM_E_TIMEOUT,
          "an endless call", 0);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    struct udfvm_held held = { .vm = NULL };
    check(!udfvm_pool_take(pool, image, 0, NULL) &&
              udfvm_pool_hold(&held, pool, image, NULL, 0, 0, NULL) == UDFVM_E_BUSY,
          "taken twice", 0);
    udfvm_pool_let_go(&held);
    check(!udfvm_pool_take_in_time(pool, image, 0, 1, NULL), "taken twice in time", 0);
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
              UDFVM_E_BUSY,
          "a call of a busy pool", 0);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
    fclose(empty);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        { "every operation", test_every_operation_at_once },
        { "none idle", test_nothing_is_kept_idle },
        { "closed meanwhile", test_a_pool_is_closed_while_calls_wait },
        { "outlived", test_the_last_vm_outlives_its_pool },
        { "fork", test_a_forked_child_touches_nothing },
        { "forks meanwhile", test_forks_meanwhile },
        { "gigabytes", test_windows_of_gigabytes },
        { "once", test_a_vm_with_larger_windows_is_for_once },
        { "no errors asked for", test_errors_that_nobody_asks_for },
    };
    const int fd = count > 1 ? open(arguments[1], O_RDONLY) : -1;
    const ssize_t length = fd < 0 ? -1 : read(fd, kernel, sizeof kernel);
    if (length <= 0)
        return 2;
    close(fd);
    kernel_length = (size_t)length;
    rounds = count > 2 ? (unsigned)atoi(arguments[2]) : rounds;
    udfvm_vm *vm = boot();
    image = sealed(vm, NULL);
    udfvm_vm_close(vm);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        const int before = atomic_load(&failures);
        if (count > 3 && tests[i].run == test_forks_meanwhile)
            continue; /* the thread sanitizer does not support threads that start in children */
        tests[i].run();
        printf("%s: %s\n", tests[i].name, atomic_load(&failures) == before ? "holds" : "FAILED");
        fflush(stdout);
    }
    udfvm_image_close(image);
    return atomic_load(&failures) != 0;
}
