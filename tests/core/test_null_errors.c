/* Nobody asks for the error: each function of api.h that has one, where it works and where it
 * fails. Usage: test_null_errors raw_guest.bin. Prints what holds and what failed. */
#include "pool_users.h"

/* ---- Nobody asks for the error: each function of api.h that has one, where it works and where it
 * fails. ---- */

static void test_errors_that_nobody_asks_for_of_boots(void)
{
    const struct udfvm_config odd = { .memory = 1 };
    check_number(!udfvm_vm_boot(&odd, "", 0, "", 0, NULL, NULL, NULL, NULL),
                 "booted of an odd size", 0);
    check_number(!udfvm_vm_boot_jailed(&odd, "", 0, "", 0, NULL, NULL, NULL, NULL, NULL),
                 "booted of an odd size in a jail", 0);
}

static void test_errors_that_nobody_asks_for_of_vms(void)
{
    const uint64_t count[] = { RAW_COUNT }, loop[] = { RAW_LOOP };
    const struct udfvm_limits short_limits = { .timeout_ns = 1000000 };
    struct udfvm_reply reply;
    uint64_t length, output;
    int status;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    check_number(udfvm_vm_check(vm, NULL) == UDFVM_OK, "a VM of this process", 0);
    check_number(udfvm_vm_seal(vm, -1, "", 0, NULL) == UDFVM_E_ARGUMENT,
                 "sealed without being asked", 0);
    check_number(udfvm_vm_seal_named(vm, -1, NULL, "", 0, NULL) == UDFVM_E_ARGUMENT,
                 "sealed without being asked", 1);
    check_number(udfvm_vm_check(vm, NULL) == UDFVM_OK, "a VM of this process", 0);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) == UDFVM_OK,
                 "a call", 0);
    check_number(udfvm_vm_borrow(vm, 0, 8, NULL) && !udfvm_vm_borrow(vm, 1, 8, NULL) &&
                     udfvm_vm_restore(vm, NULL) == UDFVM_OK,
                 "borrowing, restoring", 0);
    check_number(udfvm_vm_input(vm, 8, NULL) && !udfvm_vm_input(vm, WINDOW, NULL),
                 "a request in place", 0);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &reply, NULL) ==
                     UDFVM_E_TIMEOUT,
                 "an endless call", 0);
    check_number(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
                     UDFVM_E_ARGUMENT,
                 "not restored", 0);
    check_number(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
                     UDFVM_E_ARGUMENT,
                 "not restored", 0);
    check_number(udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, count, 8, NULL, NULL) ==
                         UDFVM_E_BUSY &&
                     udfvm_vm_stream_receive(vm, &reply, NULL) == UDFVM_E_ARGUMENT,
                 "nothing to stream", 0);
    check_number(udfvm_vm_bind(vm, image, NULL) == UDFVM_E_ARGUMENT, "bound without being restored",
                 0);
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK &&
                     udfvm_vm_bind(vm, image, NULL) == UDFVM_OK,
                 "restoring, binding", 0);
    check_number(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, WINDOW, NULL, &reply, NULL) ==
                     UDFVM_E_INPUT,
                 "a large request", 0);
    for (unsigned i = 0; i < 10;
         i++) /* the raw guest knows no streaming calls: it fails where a thread would go on */
        check_number(udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
                             UDFVM_OK ||
                         i >= 7,
                     "a stream", i);
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    check_number(udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &output, 8,
                                     &length, &status, NULL) == UDFVM_E_TIMEOUT &&
                     udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, count, 8, NULL, &output, 8, &length,
                                         &status, NULL) == UDFVM_OK,
                 "fresh calls", 0);
    udfvm_vm_close(vm);
}

static int answer_nothing(void *context, struct udfvm_in_process_call *call)
{
    (void)context, (void)call;
    return 0;
}

static void forget_nothing(void *context, udfvm_vm *vm)
{
    (void)context, (void)vm;
}

static void test_errors_that_nobody_asks_for_of_stand_ins(void)
{
    const struct udfvm_in_process program = { NULL, answer_nothing, forget_nothing };
    const struct udfvm_config odd = { .memory = 1 }, even = { .memory = 16 << 20,
                                                              .input_window = 2 << 20,
                                                              .output_window = 2 << 20 };
    const uint8_t digest[32] = { 1 }, other[32] = { 2 };
    struct udfvm_reply reply;
    check_number(!udfvm_image_in_process(&program, &odd, digest, NULL, "", 0, NULL),
                 "an image of an odd size", 0);
    udfvm_image *base = udfvm_image_in_process(&program, &even, digest, NULL, "", 0, NULL);
    udfvm_image *layer = udfvm_image_in_process(&program, &even, other, base, "", 0, NULL);
    check_number(base && layer, "images without pages", 0);
    check_number(!udfvm_image_in_process(&program, &even, other, layer, "", 0, NULL),
                 "a layer of a layer", 0);
    check_number(!udfvm_vm_open(base, NULL, NULL), "opened without a pool", 0);
    udfvm_pool *pool = udfvm_pool_create(base, 1, NULL, NULL);
    check_number(udfvm_pool_jail(pool, 1, NULL, NULL) == UDFVM_OK &&
                     !udfvm_pool_take(pool, layer, 0, NULL),
                 "taken from a jail", 0);
    udfvm_pool_jail(pool, 0, NULL, NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, layer, 0, NULL);
    check_number(vm && udfvm_vm_call(vm, UDFVM_REQUEST_ROW, "", 0, NULL, &reply, NULL) == UDFVM_OK,
                 "a call in the process", 0);
    check_number(udfvm_vm_seal(vm, -1, "", 0, NULL) == UDFVM_E_ARGUMENT, "sealed in the process",
                 0);
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restored in the process", 0);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
    udfvm_image_close(layer);
    udfvm_image_close(base);
}

static void test_errors_that_nobody_asks_for(void)
{
    const uint64_t count[] = { RAW_COUNT }, loop[] = { RAW_LOOP };
    const struct udfvm_limits short_limits = { .timeout_ns = 1000000 };
    struct udfvm_system system;
    udfvm_account *account = udfvm_account_create(NULL, NULL);
    struct udfvm_pool_reply reply = { .output = NULL };
    double microseconds[2];
    FILE *empty = tmpfile();
    test_errors_that_nobody_asks_for_of_boots();
    test_errors_that_nobody_asks_for_of_vms();
    test_errors_that_nobody_asks_for_of_stand_ins();
    check_number(udfvm_system_probe(&system, NULL) == UDFVM_OK, "the probe", 0);
    check_number(udfvm_measure_exits(microseconds, 2, NULL) == UDFVM_OK, "the exit latency", 0);
    check_number(!udfvm_image_open(fileno(empty), NULL, NULL) && !udfvm_image_open(-1, NULL, NULL),
                 "opened what is no image", 0);
    check_number(!udfvm_image_open_within(fileno(empty), 0, 0, NULL, NULL),
                 "opened what is no part of an image", 0);
    check_number(!udfvm_image_open_cached("/nowhere", "none", NULL, NULL), "opened what is nowhere",
                 0);
    check_number(udfvm_private_open("/nowhere", "none", O_RDONLY, NULL) < 0 &&
                     udfvm_private_open("/dev", "null", O_RDONLY, NULL) < 0,
                 "opened a device", 0);
    check_number(!udfvm_image_open_within(fileno(empty), 4096, 4096, NULL, NULL),
                 "opened what is no part of a file", 0);
    check_number(udfvm_image_verify(image, NULL) == UDFVM_OK, "verifying", 0);
    check_number(!udfvm_pool_create(image, 0, NULL, NULL), "a pool of none", 0);
    unsigned walls;
    check_number(udfvm_jail_probe("/nowhere", &walls, NULL) != UDFVM_OK, "no such cgroup", 0);
    udfvm_account *batch = udfvm_account_begin_batch(account, NULL);
    check_number(account && batch, "an account, and that of a batch", 0);
    udfvm_account_close(account);
    udfvm_account_close(batch);
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, NULL);
    check_number(udfvm_pool_jail(pool, 0, NULL, NULL) == UDFVM_OK, "a pool without a jail", 0);
    check_number(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, loop, 8, &short_limits, &reply,
                                 NULL) == UDFVM_E_TIMEOUT,
                 "an endless call", 0);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    struct udfvm_held held = { .vm = NULL };
    check_number(!udfvm_pool_take(pool, image, 0, NULL) &&
                     udfvm_pool_hold(&held, pool, image, NULL, 0, 0, NULL) == UDFVM_E_BUSY,
                 "taken twice", 0);
    udfvm_pool_let_go(&held);
    check_number(!udfvm_pool_take_in_time(pool, image, 0, 1, NULL), "taken twice in time", 0);
    check_number(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, count, 8, NULL, &reply, NULL) ==
                     UDFVM_E_BUSY,
                 "a call of a busy pool", 0);
    const struct iovec part = { (void *)(uintptr_t)count, 8 };
    check_number(udfvm_pool_call_parts(pool, image, 0, UDFVM_REQUEST_ROW, &part, 1, NULL, &reply,
                                       NULL) == UDFVM_E_BUSY,
                 "a call of a busy pool in parts", 0);
    uint64_t memory;
    check_number(udfvm_pool_memory(pool, &memory, NULL) == UDFVM_OK && memory > 0,
                 "memory of a pool", (long)memory);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
    fclose(empty);
}

static void test_errors_of_hardening(void)
{
    check_number(udfvm_harden(NULL) == UDFVM_OK, "hardened", 0);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "no errors asked for", test_errors_that_nobody_asks_for },
        { "none of hardening", test_errors_of_hardening }, /* the last: it is for good */
    };
    return count < 2 ? 2 : run_with_image(arguments[1], tests, sizeof tests / sizeof *tests, NULL);
}
