/* VMs of a pool have no past, whoever used them; one that cannot be restored is replaced. */
#include <pthread.h>
#include <sys/wait.h>
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_NOACCESS(start, length) ((void)(start), (void)(length))
#endif
#include "call/vm.h"
#include "raw_image.h"

static const uint64_t echo[] = { RAW_ECHO, 3, 7 };

static void *use_pool(void *argument)
{
    udfvm_pool *pool = argument;
    struct udfvm_error error;
    for (int i = 0; i < (quick ? 10 : 200); i++) {
        udfvm_vm *vm = udfvm_pool_take(pool, image, 20000000000, &error);
        check(vm != NULL, "take: %s", error.message);
        if (!vm)
            return NULL;
        check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "a pooled VM had a past");
        udfvm_pool_give(pool, vm);
    }
    return NULL;
}

/* A child does not inherit the memory of VMs. valgrind takes it for mapped still: this tells it
 * otherwise, else its search for leaks runs into a fault at each word. */
static void forget_memory_in_valgrind(const udfvm_vm *vm)
{
    const struct machine *machine = &vm->machine;
    VALGRIND_MAKE_MEM_NOACCESS(machine->memory, machine->memory_bytes + UDFVM_LOGGED_OUTPUT +
                                                    machine->unlogged_bytes);
    VALGRIND_MAKE_MEM_NOACCESS(machine->input, machine->input_bytes);
}

static void test_pool(void)
{
    struct udfvm_error error;
    udfvm_pool *pool = udfvm_pool_create(image, 2, NULL, &error);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, use_pool, pool);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    udfvm_vm *first = udfvm_pool_take(pool, image, 0, &error),
             *second = udfvm_pool_take(pool, image, 0, &error);
    check(first && second && !udfvm_pool_take(pool, image, 1000000, &error) &&
              error.code == UDFVM_E_BUSY,
          "a pool of two gave three VMs");
    exchange(first);
    udfvm_pool_give(pool, first);
    udfvm_pool_give(pool, second);
    use_pool(pool);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int before = failures;
        forget_memory_in_valgrind(first);
        forget_memory_in_valgrind(second);
        check(!udfvm_pool_take(pool, image, 0, &error) && error.code == UDFVM_E_FORKED,
              "a forked child used its parent's pool");
        udfvm_pool_close(pool);
        udfvm_vm *own = open_vm(image);
        check(CALL(own, NULL, RAW_COUNT).words[0] == 1, "a forked child's own VM");
        udfvm_vm_close(own);
        fflush(stdout);
        _exit(failures - before);
    }
    int status;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "forked child");
    use_pool(pool);
    udfvm_pool_close(pool);
}

static void check_reply_that_fits(udfvm_pool *pool)
{
    uint64_t output[4] = { 0 };
    struct udfvm_pool_reply reply = { .output = output, .capacity = sizeof echo };
    struct udfvm_error error;
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, echo, sizeof echo, NULL, &reply,
                          &error) == UDFVM_OK &&
              !reply.kept && reply.length == sizeof echo && reply.status == UDFVM_STATUS_OK,
          "a call of a pool: %s", error.message);
    check(reply.in_use == 1 && memcmp(output, echo, sizeof echo) == 0 && !output[3],
          "the reply to a call of a pool");
}

/* The VM stays taken for as long as the reply in it is used. */
static void check_reply_that_does_not_fit(udfvm_pool *pool)
{
    uint64_t output[4];
    struct udfvm_pool_reply reply = { .output = output, .capacity = sizeof echo - 1 }, busy = reply;
    struct udfvm_pool_statistics statistics;
    struct udfvm_error error;
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, echo, sizeof echo, NULL, &reply,
                          &error) == UDFVM_OK &&
              reply.kept && reply.length == sizeof echo &&
              memcmp(reply.data, echo, sizeof echo) == 0,
          "a reply that does not fit is not kept");
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.idle == 0, "a VM whose reply is kept is idle");
    check(udfvm_pool_call(pool, image, 1000000, UDFVM_REQUEST_ROW, echo, sizeof echo, NULL, &busy,
                          &error) == UDFVM_E_BUSY &&
              !busy.kept,
          "a VM was used twice");
    udfvm_pool_give(pool, reply.kept);
}

/* A request in parts is put together; parts that are too long leave the VM as it was. */
static void check_request_in_parts(udfvm_pool *pool)
{
    uint64_t output[4] = { 0 };
    const uint8_t *request = (const uint8_t *)echo;
    struct udfvm_pool_reply reply = { .output = output, .capacity = sizeof echo };
    struct udfvm_error error;
    struct iovec parts[] = { { (void *)(uintptr_t)request, 3 },
                             { NULL, 0 },
                             { (void *)(uintptr_t)(request + 3), sizeof echo - 3 } };
    check(udfvm_pool_call_parts(pool, image, 0, UDFVM_REQUEST_ROW, parts, 3, NULL, &reply,
                                &error) == UDFVM_OK &&
              reply.length == sizeof echo && memcmp(output, echo, sizeof echo) == 0,
          "a request in parts: %s", error.message);
    parts[2].iov_len = WINDOW;
    check(udfvm_pool_call_parts(pool, image, 0, UDFVM_REQUEST_ROW, parts, 3, NULL, &reply, NULL) ==
                  UDFVM_E_INPUT &&
              !reply.kept,
          "parts that are larger than the window");
}

static void test_calls_of_a_pool(void)
{
    struct udfvm_error error;
    struct udfvm_pool_statistics statistics;
    struct udfvm_pool_reply reply = { .output = NULL };
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, &error);
    check_reply_that_fits(pool);
    check_reply_that_does_not_fit(pool);
    check_request_in_parts(pool);
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, echo, WINDOW, NULL, &reply, &error) ==
                  UDFVM_E_INPUT &&
              !reply.kept,
          "a request larger than the window");
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 1 && statistics.idle == 1, "calls of a pool leave VMs behind");
    udfvm_pool_close(pool);
}

/* Puts /dev/null in the place of the process's only VM: from then on KVM does not know it. */
static int lose_vm(void)
{
    char path[64], target[64];
    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = 0;
        int null = strcmp(target, "anon_inode:kvm-vm") == 0 ? open("/dev/null", O_RDWR) : -1;
        if (null >= 0)
            return dup2(null, fd) == fd && close(null) == 0;
    }
    return 0;
}

static void test_a_vm_that_cannot_be_restored_is_replaced(void)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_error error;
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, &error);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, &error);
    check(vm && exchange(vm) == 1 && lose_vm(), "taking a VM away");
    udfvm_pool_give(pool, vm);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 0 && statistics.idle == 0 && statistics.limit == 1,
          "a VM that cannot be restored stays in its pool");
    vm = udfvm_pool_take(pool, image, 0, &error);
    check(vm && exchange(vm) == 1, "a new VM in its place");
    udfvm_pool_give(pool, vm);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 1 && statistics.idle == 1, "the new VM is not kept");
    check(udfvm_pool_trim_old(pool, 0, 3600000000000) == 1 &&
              udfvm_pool_trim_old(pool, 1, 0) == 1 && udfvm_pool_trim_old(pool, 0, 0) == 0,
          "trimming by age");
    udfvm_pool_close(pool);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "pool", test_pool },
        { "pool calls", test_calls_of_a_pool },
        { "replacement", test_a_vm_that_cannot_be_restored_is_replaced },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
