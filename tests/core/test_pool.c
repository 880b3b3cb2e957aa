/* A pool that is closed, forked, outlived by its VMs, or keeps none. Usage: test_pool
 * raw_guest.bin. Prints what holds and what failed. */
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include "pool_users.h"

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
    check_number(rig.answered == 3 && statistics.live == 0 && statistics.idle == 0,
                 "VMs of a pool that keeps none", statistics.live);
    udfvm_pool_set_idle(pool, 2);
    take_and_give(&rig, 0);
    udfvm_pool_set_idle(pool, 0); /* at once, not at the next call */
    udfvm_pool_statistics(pool, &statistics);
    check_number(rig.answered == 4 && statistics.live == 0,
                 "idle VMs of a pool that keeps none any more", statistics.live);
    udfvm_pool_close(pool);
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
    check_number(statistics.live == 0 && statistics.idle == 0, "a closed pool keeps VMs",
                 statistics.live);
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
        check_number(statistics.live == 0, "the parent's VMs are not the child's", statistics.live);
        udfvm_pool_give(pool, vm);
        udfvm_pool_close(pool);
        fflush(stdout);
        _exit(failures);
    }
    int status;
    waitpid(child, &status, 0);
    check_number(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed", status);
    struct rig rig = { .pool = pool, .limit = 2 };
    use(&rig, vm);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "none idle", test_nothing_is_kept_idle },
        { "closed meanwhile", test_a_pool_is_closed_while_calls_wait },
        { "outlived", test_the_last_vm_outlives_its_pool },
        { "fork", test_a_forked_child_touches_nothing },
    };
    return count < 2 ? 2 : run_with_image(arguments[1], tests, sizeof tests / sizeof *tests, NULL);
}
