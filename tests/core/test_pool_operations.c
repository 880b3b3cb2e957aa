/* Pools under every operation at once, jailed or not, also where the process forks meanwhile.
 * Usage: test_pool_operations raw_guest.bin [rounds [--no-fork]], beside a program udfvm-jail.
 * Prints what holds and what failed. */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include "pool_users.h"

#define OPERATIONS 60u
#define FORKS      10                     /* with VMs in this process, and with jailed ones */
#define LONG_WORDS ((1u << 20) / 8 + 512) /* of a request whose reply may be borrowed */
#define LENT_WORDS ((1u << 20) / 8)

static unsigned rounds = 6;

struct user {
    pthread_t thread;
    struct rig *rig;
    unsigned seed, shuts_at;
};

static void make_pool(struct rig *rig, bool jailed)
{
    struct udfvm_error error;
    rig->pool = udfvm_pool_create(image, rig->limit, NULL, NULL);
    check(udfvm_pool_jail(rig->pool, jailed, NULL, &error) == UDFVM_OK, "jails: %s", error.message);
}

static void call(struct rig *rig, uint64_t capacity)
{
    uint64_t output[8], request[] = { RAW_ECHO, 3, 7 };
    struct udfvm_pool_reply reply = { .output = output, .capacity = capacity };
    struct udfvm_error error;
    const int code = udfvm_pool_call(rig->pool, image, 60 * SECOND, UDFVM_REQUEST_ROW, request,
                                     sizeof request, NULL, &reply, &error);
    check_number(code == UDFVM_OK || code == UDFVM_E_CLOSED, "a call of a pool", code);
    check_number((reply.kept != NULL) == (code == UDFVM_OK && capacity < sizeof request),
                 "a reply was kept, or not", code);
    if (code == UDFVM_OK)
        check_number(memcmp(reply.kept ? reply.data : output, request, sizeof request) == 0,
                     "a reply is another", 0);
    if (reply.kept)
        udfvm_pool_give(rig->pool, reply.kept);
}

static void look(struct rig *rig)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_error error;
    uint64_t memory;
    udfvm_pool_settle(rig->pool);
    check(udfvm_pool_memory(rig->pool, &memory, &error) == UDFVM_OK, "memory: %s", error.message);
    udfvm_pool_statistics(rig->pool, &statistics);
    check_number(statistics.limit == rig->limit && statistics.live <= rig->limit,
                 "more VMs than the limit", statistics.live);
    check_number(statistics.idle <= statistics.live, "more are idle than there are",
                 statistics.idle);
}

/* Whether a VM was taken, by one who waits for long. */
static bool was_taken(const udfvm_vm *vm, const struct udfvm_error *error)
{
    check_number(vm || error->code == UDFVM_E_CLOSED, "no VM was taken", vm ? 0 : error->code);
    return vm != NULL;
}

static void take_in_time_and_give_small(struct rig *rig)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_pool_take_in_time(rig->pool, image, 60 * SECOND, 60 * SECOND, &error);
    if (!was_taken(vm, &error))
        return;
    use(rig, vm);
    udfvm_pool_give_small(rig->pool, vm);
}

static void take_windows(struct rig *rig)
{
    const struct udfvm_windows windows = { 2 * WINDOW, 2 * WINDOW, 0 };
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_pool_take_windows(rig->pool, image, &windows, 60 * SECOND, 60 * SECOND,
                                           &error);
    if (!was_taken(vm, &error))
        return;
    use(rig, vm);
    udfvm_pool_give(rig->pool, vm);
}

static void *let_go(void *held)
{
    udfvm_pool_let_go(held);
    return NULL;
}

/* Another thread gives it back. */
static void let_go_elsewhere(struct udfvm_held *held)
{
    pthread_t other;
    pthread_create(&other, NULL, let_go, held);
    pthread_join(other, NULL);
}

static void hold(struct rig *rig)
{
    struct udfvm_held held;
    struct udfvm_error error;
    udfvm_pool_hold(&held, rig->pool, image, NULL, 60 * SECOND, 60 * SECOND, &error);
    if (!was_taken(held.vm, &error))
        return;
    use(rig, held.vm);
    let_go_elsewhere(&held);
}

/* A long request is written where the guest reads it. Returns the length of its reply: the same
 * words. */
static uint64_t echo(udfvm_vm *vm, uint64_t seed)
{
    static const struct udfvm_limits limits = { .timeout_ns = 60 * SECOND };
    struct udfvm_reply reply = { .length = 0 };
    struct udfvm_error error;
    uint64_t *request = udfvm_vm_input(vm, LONG_WORDS * 8, &error);
    for (uint64_t i = 0; request && i < LONG_WORDS; i++)
        request[i] = seed + i;
    if (request) {
        request[0] = RAW_ECHO;
        request[1] = LONG_WORDS;
    }
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, LONG_WORDS * 8, &limits, &reply,
                                   &error);
    check(request && code == UDFVM_OK, "a long reply: %s", error.message);
    return reply.length;
}

/* A part of a reply is read and written while it lies in its VM's window, which is lent. */
static void borrow(struct rig *rig)
{
    const uint64_t seed = (uint64_t)rig << 16, skipped = 8;
    struct udfvm_held held;
    struct udfvm_error error;
    udfvm_pool_hold(&held, rig->pool, image, NULL, 60 * SECOND, 60 * SECOND, &error);
    if (!was_taken(held.vm, &error))
        return;
    const uint64_t length = echo(held.vm, seed);
    uint64_t *lent = length == LONG_WORDS * 8
                         ? udfvm_pool_borrow(&held, skipped * 8, LENT_WORDS * 8)
                         : NULL;
    bool equal = length == LONG_WORDS * 8;
    for (uint64_t i = 0; lent && i < LENT_WORDS; i++) {
        equal &= lent[i] == seed + skipped + i;
        lent[i] = ~seed;
    }
    check(equal, "a reply of %llu bytes, %s", (unsigned long long)length, lent ? "lent" : "kept");
    atomic_fetch_add(&rig->lent, lent != NULL);
    let_go_elsewhere(&held);
}

static void shrink(struct rig *rig)
{
    udfvm_pool_shrink_old(rig->pool, 0);
}

static void shut(struct rig *rig)
{
    udfvm_pool_shut(rig->pool);
    atomic_store(&rig->shut, true);
}

#define WHOLE 9u /* operations before these */
static void (*const whole[])(struct rig *rig) = {
    take_in_time_and_give_small, take_windows, hold, borrow, shrink,
};

static void operate(struct user *user)
{
    const unsigned count = WHOLE + sizeof whole / sizeof *whole;
    struct rig *rig = user->rig;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (i == user->shuts_at)
            shut(rig);
        const unsigned chosen = (unsigned)rand_r(&user->seed) % count;
        switch (chosen) {
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
        default:
            whole[chosen - WHOLE](rig);
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
        make_pool(&rig, round % 4 >= 2);
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
        check_number(atomic_load(&rig.answered) > 0, "no VM was ever used", round);
        check_number(rig.limit < 2 || atomic_load(&rig.lent) > 0, "no reply was borrowed", round);
    }
}

/* A child finds the lists of its parent's pools whole, whatever the parent's threads were about to
 * change, and its own pools usable. */
static void be_child_of_users(const struct rig *rig, bool jailed)
{
    struct rig own = { .limit = 1 };
    make_pool(&own, jailed);
    atomic_store(&failures, 0);
    check_refused(rig->pool, 0, UDFVM_E_FORKED, "a child took a VM");
    udfvm_pool_trim(rig->pool, 0);
    udfvm_pool_close(rig->pool); /* the only reference: it is freed, unless VMs are taken */
    take_and_give(&own, 0);
    check_number(atomic_load(&own.answered) == 1, "a child's own pool", 0);
    udfvm_pool_close(own.pool);
    fflush(stdout);
    _exit(failures != 0);
}

static atomic_bool forked_enough;

static void *use_until_forked(void *user)
{
    while (!atomic_load(&forked_enough))
        operate(user);
    return NULL;
}

static void fork_meanwhile(bool jailed)
{
    struct rig rig = { .limit = 4 };
    struct user users[THREADS];
    make_pool(&rig, jailed);
    atomic_store(&forked_enough, false);
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
            be_child_of_users(&rig, jailed);
        }
        waitpid(child, &status, 0);
        check_number(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                     "a child that was forked meanwhile failed", status);
    }
    atomic_store(&forked_enough, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(users[i].thread, NULL);
    udfvm_pool_close(rig.pool);
}

static void test_forks_meanwhile(void)
{
    fork_meanwhile(false);
    fork_meanwhile(true);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "every operation", test_every_operation_at_once },
        { "forks meanwhile", test_forks_meanwhile },
    };
    if (count < 2)
        return 2;
    rounds = count > 2 ? (unsigned)atoi(arguments[2]) : rounds;
    return run_with_image(arguments[1], tests, sizeof tests / sizeof *tests,
                          count > 3 ? test_forks_meanwhile : NULL);
}
