/* Calls of host functions, whatever the guest asks of them. */
#include <errno.h>
#include "raw_image.h"

static int64_t answer(void *context, const char *name, const void *arguments, uint64_t length,
                      void *reply, uint64_t capacity, char *failure)
{
    int *calls = context;
    ++*calls;
    if (*name)
        return UDFVM_NO_HOST_FUNCTION;
    if (length == 16) {
        strcpy(failure, "sixteen");
        return UDFVM_HOST_FUNCTION_FAILED;
    }
    if (capacity >= length)
        memset(reply, 0x5a, length);
    check(length == 8 && *(const uint64_t *)arguments == 0, "arguments of %llu bytes",
          (unsigned long long)length);
    return (int64_t)length;
}

static void test_host_functions(void)
{
    static const uint64_t out = UDFVM_OUTPUT_BASE, base = UDFVM_PROGRAM_BASE,
                          max = UDFVM_MAX_HOST_MESSAGE;
    static const struct {
        int64_t result;
        uint64_t arguments[6];
    } refused[] = {
        { -ENOENT, { base, 256, out, 8, out, 8 } },
        { -ENOENT, { base, UINT64_MAX, out, 8, out, 8 } },
        { -EFAULT, { 0x1000, 1, out, 8, out, 8 } },
        { -EFAULT, { UINT64_MAX, 1, out, 8, out, 8 } },
        { -EFAULT, { base, 0, 0x1000, 8, out, 8 } },
        { -EFAULT, { base, 0, MEMORY - 4, 8, out, 8 } },
        { -EFAULT, { base, 0, UDFVM_INPUT_BASE, 8, out, 8 } },
        { -E2BIG, { base, 0, out, max + 1, out, 8 } },
        { -E2BIG, { base, 0, out, UINT64_MAX, out, 8 } },
        { -E2BIG, { base, 0, out, 8, out, max + 1 } },
        { -EFAULT, { base, 0, out, 8, 0x1000, 8 } },
        { -EFAULT, { base, 0, out, 8, MEMORY - 4, 8 } },
        { -EFAULT, { base, 0, out, 8, UINT64_MAX - 3, 8 } },
        { -EMSGSIZE, { base, 0, out, 8, out, 7 } },
    };
    int calls = 0;
    const struct udfvm_host_functions functions = { .context = &calls,
                                                    .call = answer,
                                                    .max_calls = 1 };
    const struct udfvm_limits limits = { .timeout_ns = 20000000000, .host_functions = &functions };
    const struct udfvm_host_functions none = { .context = &calls, .call = answer };
    const struct udfvm_limits stingy = { .timeout_ns = 20000000000, .host_functions = &none };
    udfvm_vm *vm = open_vm(image);
    struct outcome got = CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8,
                              out + 8, 8);
    check(got.code == 0 && (int64_t)got.words[0] == -ENOENT && calls == 0,
          "a call without host functions: %lld", (long long)got.words[0]);
    for (int i = 0; i < 3; i++) {
        got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8, out + 8,
                   8);
        check(got.code == 0 && got.words[0] == 8 && got.words[1] == 0x5a5a5a5a5a5a5a5a &&
                  calls == i + 1,
              "host call %d: %s", i, got.error.message);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const uint64_t *a = refused[i].arguments;
        got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, a[0], a[1], a[2], a[3],
                   a[4], a[5]);
        check(got.code == 0 && (int64_t)got.words[0] == refused[i].result, "host call %zu: %lld", i,
              (long long)got.words[0]);
    }
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 16, out, 16);
    check(got.code == UDFVM_E_HOST_FUNCTION && strstr(got.error.message, "sixteen"),
          "a host function that fails: %d", got.code);
    got = CALL(vm, &stingy, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8, out, 8);
    check(got.code == UDFVM_E_HOST_CALLS, "more host calls than are allowed: %d", got.code);
    check(CALL(vm, &limits, RAW_STATE).words[2] == 0x1515, "VM unusable after host calls");
    udfvm_vm_close(vm);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "host functions", test_host_functions },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
