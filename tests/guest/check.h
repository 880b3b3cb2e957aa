/* For the guest test programs: each runs in a VM, prints what failed and exits with the number of
 * failures. They are ordinary Linux programs and pass on Linux too, so that the tests themselves
 * are tested. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                       \
    ((condition) ? (void)0                                                                     \
                 : (void)(failures++, printf("%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, \
                                             #condition, errno, strerror(errno))))

#define DONE() \
    (printf(failures ? "%d failures\n" : "ok\n", failures), failures > 100 ? 100 : failures)

static inline bool fails_with(long result, int number)
{
    return result == -1 && errno == number;
}

#endif
