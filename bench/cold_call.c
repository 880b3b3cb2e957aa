/* From the start of a program to a function's first result, through the core's C API: opens a base
 * image and a layer of the cache, and calls the function of two REALs once.
 *
 * Arguments: the cache's directory, and the names of the images in it; without any, the program
 * ends at once. Prints a line at the first result, and then the milliseconds of opening, of the
 * call, and of a second call. */
#include <stdio.h>
#include <time.h>

#include "api.h"
#include "udfvm_abi.h"

struct request {
    struct udfvm_row row;
    struct udfvm_value arguments[2];
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int call(udfvm_pool *pool, udfvm_image *layer, double *result, struct udfvm_error *error)
{
    static const struct request request = {
        .row = { .count = 2 },
        .arguments = { { .type = UDFVM_TYPE_FLOAT64, .real = 12.0 },
                       { .type = UDFVM_TYPE_FLOAT64, .real = 300.0 } },
    };
    static const struct udfvm_limits limits = { .timeout_ns = 10000000000u,
                                                .max_log = 4096,
                                                .files = 1 };
    struct udfvm_value value = { 0 };
    struct udfvm_pool_reply reply = { .output = &value, .capacity = sizeof value };
    const int code = udfvm_pool_call(pool, layer, 0, UDFVM_REQUEST_ROW, &request, sizeof request,
                                     &limits, &reply, error);
    *result = value.real;
    return code || reply.status;
}

int main(int count, char **arguments)
{
    struct udfvm_error error = { 0 };
    const double begun = now_ms();
    if (count != 4)
        return puts("ready") < 0;
    udfvm_image *base = udfvm_image_open_cached(arguments[1], arguments[2], NULL, &error);
    udfvm_image *layer = base ? udfvm_image_open_cached(arguments[1], arguments[3], base, &error)
                              : NULL;
    udfvm_pool *pool = layer ? udfvm_pool_create(base, 1, NULL, &error) : NULL;
    const double opened = now_ms();
    double first = 0, second = 0;
    if (!pool || call(pool, layer, &first, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const double called = now_ms();
    puts("ready");
    fflush(stdout);
    const double printed = now_ms();
    if (call(pool, layer, &second, &error) || first != second)
        return 1;
    printf("%.4f %.4f %.4f\n", opened - begun, called - opened, now_ms() - printed);
    return 0;
}
