/* What the guest logs: as much as is allowed, and given to the sink. */
#include <errno.h>
#include "raw_image.h"

static void test_log_is_bounded(void)
{
    udfvm_vm *vm = open_vm(image);
    struct udfvm_limits limits = { .max_log = 100, .timeout_ns = 5000000000, .strict_log = 1 };
    struct outcome got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1,
                              UDFVM_PROGRAM_BASE, 100);
    check(got.code == 0 && got.words[0] == 0, "log within the limit");
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 101).code ==
              UDFVM_E_LOG,
          "log beyond the limit");
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, MEMORY - 4, 8);
    check(got.code == 0 && (int64_t)got.words[0] == -EFAULT, "log from outside memory");
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, UINT64_MAX);
    check(got.code == 0 && (int64_t)got.words[0] == -EFAULT, "log of 2^64 bytes");
    udfvm_vm_close(vm);
}

struct heard {
    unsigned calls, failures;
    int result;
    uint64_t length, given;
    int stream;
};

static int hear(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    strcpy(failure, "deaf");
    struct heard *heard = context;
    heard->calls++;
    heard->failures += failed != 0;
    heard->length = log->length;
    heard->given = log->given;
    heard->stream = log->part_count ? log->parts[log->part_count - 1].stream : 0;
    check(log->part_count == 0 || log->parts[log->part_count - 1].end == log->length,
          "parts cover the log");
    return heard->result;
}

static void test_log_is_given_to_the_sink(void)
{
    udfvm_vm *vm = open_vm(image);
    struct heard heard = { .calls = 0 };
    const struct udfvm_log_sink sink = { &heard, hear };
    const struct udfvm_limits limits = { .max_log = 100,
                                         .timeout_ns = 5000000000,
                                         .log_sink = &sink };
    check(CALL(vm, &limits, RAW_STATE).code == 0 && heard.calls == 0, "silence is not heard");
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 2, UDFVM_PROGRAM_BASE, 60).code ==
              0,
          "log");
    check(heard.calls == 1 && heard.length == 60 && heard.given == 0 && heard.stream == 2 &&
              heard.failures == 0,
          "what was logged is heard");
    check(
        CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 60000).code ==
            0,
        "log that is cut");
    check(heard.calls == 2 && heard.length > 100 && heard.length < 200 && heard.stream == 1,
          "the log is cut, with a note");
    check(CALL(vm, &limits, RAW_HYPERCALL, 12345).code == UDFVM_E_PROTOCOL && heard.calls == 3 &&
              heard.failures == 1,
          "failures are heard");
    heard.result = -1;
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 1).code ==
              UDFVM_E_HOST_FUNCTION,
          "a sink that fails");
    heard.result = 0;
    check(CALL(vm, &limits, RAW_STATE).code == 0, "a call after that");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "log", test_log_is_bounded },
        { "log sink", test_log_is_given_to_the_sink },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
