/* Jailed VMs of the raw guest, whose process is hostile_jail.c. Usage: test_jail raw_guest.bin,
 * beside a program udfvm-jail. Prints what holds and what failed. */
#include <ctype.h>
#include <signal.h>
#include <sys/wait.h>
#include "jail_pool.h"

#include "jail/cell.h"

/* ---- Honest ---- */

static void expect_honest(udfvm_pool *pool, long after)
{
    for (int i = 0; i < 2; i++) {
        const struct outcome got = POOL_CALL(pool, image, NULL, RAW_COUNT);
        check(got.code == 0 && got.length == 8 && got.words[0] == 1, "an honest call after %ld: %s",
              after, got.error.message);
    }
}

static void test_calls_are_as_elsewhere(void)
{
    udfvm_pool *pool = make_pool(NULL);
    udfvm_image *seven = layer(7);
    const struct udfvm_limits soon = { .timeout_ns = SECOND / 20 };
    expect_honest(pool, 0);
    struct outcome got = POOL_CALL(pool, seven, NULL, RAW_COUNT);
    check(got.code == 0 && got.words[0] == 8, "a layer: %s", got.error.message);
    expect_honest(pool, 1);
    got = POOL_CALL(pool, image, NULL, RAW_ECHO, 5, 2, 3, 4);
    check(got.code == 0 && got.length == 40 && got.words[4] == 4, "a reply: %s", got.error.message);
    got = POOL_CALL(pool, image, &soon, RAW_LOOP);
    check_number(got.code == UDFVM_E_TIMEOUT, "a loop", got.code);
    got = POOL_CALL(pool, image, NULL, RAW_HYPERCALL, 99);
    check_number(got.code == UDFVM_E_PROTOCOL, "a hypercall", got.code);
    got = POOL_CALL(pool, image, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_STATUS, 3);
    check_number(got.code == UDFVM_E_EXIT && got.error.signal == 3, "an exit", got.code);
    expect_honest(pool, 2);
    udfvm_image_close(seven);
    udfvm_pool_close(pool);
}

/* Nothing that a call wrote is in a window, or in what streaming calls share, afterwards. */
static void test_nothing_stays(void)
{
    static const uint64_t places[] = { UDFVM_OUTPUT_BASE + 0x3000, UDFVM_OUTPUT_BASE + WINDOW - 64,
                                       UDFVM_OUTPUT_BASE + WINDOW + SCRATCH - 64,
                                       UDFVM_STREAM_REPLY, UDFVM_PROGRAM_BASE + 0x5000 };
    udfvm_pool *pool = make_pool(NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    for (int round = 0; vm && round < 3; round++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            struct outcome got = CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
            const uint64_t write[] = { RAW_WRITE, places[i], 0x5ec7e7 };
            struct udfvm_reply reply;
            const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, write, sizeof write, NULL, &reply,
                                           NULL);
            check(code == UDFVM_OK, "writing to place %zu: %d", i, code);
            check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", (long)i);
            got = CALL(vm, NULL, RAW_READ, places[i]);
            check(got.code == 0 && got.words[1] != 0x5ec7e7, "what was written to place %zu: %s", i,
                  got.error.message);
        }
        uint8_t *input = udfvm_vm_input(vm, WINDOW / 2, NULL);
        check(input != NULL, "the input window");
        if (input)
            memset(input, 0x77, WINDOW / 2);
        const struct outcome got = CALL(vm, NULL, RAW_FIND, UDFVM_INPUT_PAYLOAD + 64,
                                        UDFVM_INPUT_PAYLOAD + WINDOW / 2, 0x7777777777777777);
        check(got.code == 0 && got.words[0] == 0, "what was not sent: %llu words",
              (unsigned long long)got.words[0]);
    }
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

/* The process of the next call finds nothing of what was sealed where messages have their data. */
static void test_no_metadata_stay(void)
{
    static const char metadata[] = "what the function printed as it was built";
    const uint64_t seal[] = { RAW_SEAL, 7 };
    struct udfvm_reply reply;
    struct udfvm_error error;
    udfvm_pool *pool = make_pool(NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    FILE *file = tmpfile();
    check(vm && file &&
              udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, seal, sizeof seal, NULL, &reply, &error) ==
                  UDFVM_OK &&
              udfvm_vm_seal(vm, fileno(file), metadata, sizeof metadata, &error) == UDFVM_OK,
          "a seal: %s", error.message);
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", 0);
    const uint8_t *data = cell_of(vm)->data;
    unsigned long left = 0;
    for (size_t i = 0; i < JAIL_NAME_BYTES + sizeof metadata; i++)
        left += data[i] != 0;
    check_number(left == 0, "bytes of what was sealed", (long)left);
    fclose(file);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
}

/* ---- Hostile ---- */

static int64_t answer(void *context, const char *name, const void *arguments, uint64_t length,
                      void *reply, uint64_t capacity, char *failure)
{
    (void)context, (void)name, (void)arguments, (void)failure;
    memset(reply, 1, length < capacity ? length : capacity);
    return (int64_t)length;
}

static int64_t refuse_path(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context, (void)stat;
    check(strlen(path) <= UDFVM_MAX_PATH, "a path of %zu bytes", strlen(path));
    return -2;
}

static int64_t refuse_follow(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    (void)follow;
    return refuse_path(context, path, stat);
}

static const struct udfvm_host_functions functions = { .call = answer, .max_calls = 1 };
static const struct udfvm_files files = { .open = refuse_path, .stat = refuse_follow };

/* With host functions and files, what is asked for of them may be harmless. */
static bool is_expected(uint64_t trick, int code, bool with_callbacks)
{
    switch (trick) {
    case HONEST:
    case UNSEALED: /* as calls are */
    case SLOW_BETWEEN_CALLS:
        return code == UDFVM_OK;
    case FAIL_ODDLY + 4: /* too many calls of host functions: so an honest one may say */
        return code == (with_callbacks ? UDFVM_E_HOST_CALLS : UDFVM_E_CRASH);
    case ASK_FOR_HOST_FUNCTION:
    case ASK_FOR_FILE:
        return code == (with_callbacks ? UDFVM_OK : UDFVM_E_CRASH);
    case SEALED:
        return code == UDFVM_E_PROTOCOL;
    case NO_ANSWER:
        return code == UDFVM_E_TIMEOUT;
    default:
        return code == UDFVM_E_CRASH;
    }
}

static void try_tricks(bool with_callbacks)
{
    const struct udfvm_limits limits = { .timeout_ns = SECOND / 2,
                                         .max_log = 65536,
                                         .files = with_callbacks,
                                         .host_functions = with_callbacks ? &functions : NULL };
    udfvm_pool *pool = make_pool(with_callbacks ? &files : NULL);
    for (uint64_t trick = HONEST; trick < TRICKS; trick++) {
        if (trick == LONG_REPLY_CHANGES || trick == LONG_REPLY_CONTINUES)
            continue; /* it goes on to write: see below */
        if ((trick == NO_ANSWER || trick == LONG_REPLY_GOES_ON) && (quick || with_callbacks))
            continue; /* it takes its time, a grace */
        const struct outcome got = POOL_CALL(pool, image, &limits, RAW_ECHO, 3,
                                             (uint64_t)TRICK << 32 | trick);
        check(is_expected(trick, got.code, with_callbacks), "trick %llu: %d, %s",
              (unsigned long long)trick, got.code, got.error.message);
        for (const char *text = got.error.message; *text; text++)
            check(isprint((unsigned char)*text), "a text of trick %llu", (unsigned long long)trick);
        expect_honest(pool, (long)trick);
    }
    udfvm_pool_close(pool);
}

static void test_a_process_that_was_taken_over_ends_alone(void)
{
    try_tricks(false);
}

static void test_it_asks_in_vain(void)
{
    try_tricks(true);
}

static uint64_t sum(const uint64_t *words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < FROZEN_REPLY / 8; i++)
        sum = sum * 31 + words[i];
    return sum;
}

/* What was checked stays as it is, while it is read and until the VM is given back. Returns whether
 * there was a reply. */
static bool read_changing_reply(udfvm_pool *pool, uint64_t trick)
{
    const uint64_t request[] = { RAW_ECHO, 3, (uint64_t)TRICK << 32 | trick };
    const struct udfvm_limits limits = { .timeout_ns = SECOND };
    uint64_t start[4];
    struct udfvm_error error = { .code = UDFVM_OK };
    struct udfvm_pool_reply reply = { .output = start, .capacity = sizeof start };
    const int code = udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, request, sizeof request,
                                     &limits, &reply, &error);
    if (code != UDFVM_OK || !reply.kept) { /* it moved for longer than the grace, or not at all */
        check(code == UDFVM_E_CRASH || code == UDFVM_E_TIMEOUT, "no reply: %s", error.message);
        return false;
    }
    const uint64_t before = sum(reply.data);
    check_number(reply.length == FROZEN_REPLY, "the length of the reply", (long)reply.length);
    for (int i = 0; i < 5; i++)
        check_number(sum(reply.data) == before, "it is as it was", i);
    udfvm_pool_give(pool, reply.kept);
    return true;
}

static void test_a_long_reply_does_not_change(void)
{
    udfvm_pool *pool = make_pool(NULL);
    for (int round = 0; round < (quick ? 2 : 10); round++)
        read_changing_reply(pool, LONG_REPLY_CHANGES);
    for (int round = 0; round < (quick ? 2 : 20); round++)
        if (!read_changing_reply(pool, LONG_REPLY_CONTINUES))
            break;
    udfvm_pool_close(pool);
}

/* ---- Builds ---- */

/* A deadline ends it, if nothing else does. */
static bool never_ends(uint64_t trick)
{
    return trick == NO_ANSWER || trick == LONG_REPLY_GOES_ON;
}

static udfvm_vm *boot_jailed(uint64_t trick, struct udfvm_error *error)
{
    static char kernel[1 << 20];
    const size_t length = (size_t)read_raw_guest(kernel, sizeof kernel);
    const struct udfvm_boot boot = { .memory_end = MEMORY, .argc = (uint32_t)trick, .envc = TRICK };
    const struct udfvm_limits limits = { .timeout_ns = never_ends(trick) ? SECOND / 2 : 60 * SECOND,
                                         .max_log = 65536 };
    return udfvm_vm_boot_jailed(&raw_config, kernel, length, &boot, sizeof boot, NULL, &limits,
                                NULL, NULL, error);
}

static void test_a_base_image_boots_in_one(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = boot_jailed(HONEST, &error);
    check(vm != NULL, "a boot: %s", error.message);
    if (!vm)
        return;
    check_number(udfvm_vm_restore(vm, NULL) == UDFVM_E_ARGUMENT, "a restore before the seal", 0);
    udfvm_image *made = sealed(vm, NULL, "jailed"), *before = image;
    udfvm_vm_close(vm);
    check_number(udfvm_image_verify(made, NULL) == UDFVM_OK, "its content", 0);
    image = made;
    udfvm_pool *pool = make_pool(NULL);
    expect_honest(pool, 0);
    udfvm_pool_close(pool);
    image = before;
    udfvm_image_close(made);
}

/* What the answer says besides is not looked at where the guest asks to be sealed. */
static bool harms_a_build(uint64_t trick)
{
    return trick != HONEST && (trick < UNKNOWN_STATUS || trick > SEALED) &&
           trick != LONG_REPLY_CHANGES && trick != SLOW_BETWEEN_CALLS;
}

static void test_a_build_that_was_taken_over_fails(void)
{
    for (uint64_t trick = HONEST; trick < TRICKS; trick++) {
        struct udfvm_error error = { .code = UDFVM_OK };
        if ((trick == NO_ANSWER || trick == LONG_REPLY_GOES_ON) && quick)
            continue;
        if (trick == LONG_REPLY_CONTINUES)
            continue; /* it may stop at any time */
        udfvm_vm *vm = boot_jailed(trick, &error);
        const int expected = trick == UNSEALED    ? UDFVM_E_PROTOCOL
                             : trick == NO_ANSWER ? UDFVM_E_TIMEOUT
                                                  : UDFVM_E_CRASH;
        const bool moved = trick == LONG_REPLY_CHANGES && !vm; /* for longer than the grace */
        check(harms_a_build(trick) || moved ? !vm && error.code == expected : vm != NULL,
              "trick %llu: %d, %s", (unsigned long long)trick, error.code, error.message);
        udfvm_vm_close(vm);
    }
}

/* ---- Forks ---- */

static void test_a_child_has_none(void)
{
    udfvm_pool *pool = make_pool(NULL);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
    CALL(vm, NULL, RAW_COUNT);
    const pid_t child = fork();
    if (child == 0) {
        struct udfvm_reply reply;
        const uint64_t request = RAW_COUNT;
        const bool refused = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, &request, 8, NULL, &reply,
                                           NULL) == UDFVM_E_FORKED;
        udfvm_vm_close(vm);
        udfvm_pool *own = make_pool(NULL);
        const struct outcome got = POOL_CALL(own, image, NULL, RAW_COUNT);
        udfvm_pool_close(own);
        _exit(refused && got.code == UDFVM_OK ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    check_number(status == 0, "the child", status);
    const struct outcome got = CALL(vm, NULL, RAW_COUNT);
    check(got.code == UDFVM_OK && got.words[0] == 1, "the parent: %s", got.error.message);
    udfvm_pool_give(pool, vm);
    udfvm_pool_close(pool);
    check_number(waitpid(-1, NULL, 0) == -1, "children that the program has besides", 0);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "calls are as elsewhere", test_calls_are_as_elsewhere },
        { "nothing stays", test_nothing_stays },
        { "no metadata stay", test_no_metadata_stay },
        { "a process that was taken over ends alone",
          test_a_process_that_was_taken_over_ends_alone },
        { "it asks in vain", test_it_asks_in_vain },
        { "a long reply does not change", test_a_long_reply_does_not_change },
        { "a base image boots in one", test_a_base_image_boots_in_one },
        { "a build that was taken over fails", test_a_build_that_was_taken_over_fails },
        { "a child has none", test_a_child_has_none },
    };
    return run_on_raw_image_but(count, arguments, tests, sizeof tests / sizeof *tests,
                                test_a_child_has_none);
}
