/* Times fresh calls of a function of two REALs through the core's C API, without Python between
 * them. */
#include <time.h>

#include "api.h"
#include "udfvm_abi.h"

struct request {
    struct udfvm_row row;
    struct udfvm_value arguments[2];
};

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds of `count` calls with the same arguments, and of the restore of each. Returns a code
 * of the core. */
int bench_fresh_calls(udfvm_vm *vm, double first, double second, double *calls, double *restores,
                      size_t count)
{
    const struct udfvm_limits limits = { .timeout_ns = 10000000000u, .max_log = 4096, .files = 1 };
    const struct request request = {
        .row = { .count = 2 },
        .arguments = { { .type = UDFVM_TYPE_FLOAT64, .real = first },
                       { .type = UDFVM_TYPE_FLOAT64, .real = second } },
    };
    for (size_t i = 0; i < count; i++) {
        struct udfvm_reply reply;
        double start = now_us();
        int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, &request, sizeof request, &limits, &reply,
                                 NULL);
        double middle = now_us();
        if (code == UDFVM_OK)
            code = udfvm_vm_restore(vm, NULL);
        double end = now_us();
        if (code != UDFVM_OK)
            return code;
        calls[i] = end - start;
        restores[i] = end - middle;
    }
    return UDFVM_OK;
}
