/* getrandom(2). */
#include "host/random.h"
#include "mm/user.h"

#define MAX_RANDOM (32ull << 20) /* as getrandom(2): a request may be answered in part */

SYSTEM_CALL(getrandom)
{
    const uint64_t length = minimum(b, MAX_RANDOM);
    if (c & ~7ull) /* GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE */
        return -EINVAL;
    if (!user_range_ok(a, length))
        return -EFAULT;
    random_bytes((void *)a, length);
    return (int64_t)length;
}
