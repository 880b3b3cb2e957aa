/* A function with nulls, and one over whole columns.
 *
 *     gcc -O3 -g -shared -fPIC -I "$(python -c 'import udfvm; print(udfvm.get_include())')" score.c
 * -o score.so
 */
#include <udfvm.h>

UDFVM_SCALAR(score, optional_f64, (f64, dep_delay), (f64, distance))
{
    return distance == 0 ? udfvm_null_f64() : udfvm_some_f64(dep_delay / distance * 100);
}

/* Each number minus the one before it, in the batch: nulls count as what they hold, so there are
 * none to be. */
UDFVM_VECTOR(difference, f64, (f64, number))
{
    const double *from = (const double *)arguments[0].buffers[1] + arguments[0].offset;
    double *to = (double *)result->buffers[1];
    if (arguments[0].null_count)
        udfvm_fail("difference of %lld nulls", (long long)arguments[0].null_count);
    for (int64_t row = 0; row < result->length; row++)
        to[row] = row ? from[row] - from[row - 1] : 0;
}
