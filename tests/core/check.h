/* What tests in C count: statements that do not hold. And the order in which they run: each says
 * whether it holds. */
#ifndef UDFVM_TESTS_CHECK_H
#define UDFVM_TESTS_CHECK_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

static atomic_int failures; /* threads count, too */

/* Says what failed, where it did. */
static inline void check(bool holds, const char *format, ...)
{
    if (holds)
        return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    failures++;
}

static inline void check_number(bool holds, const char *what, long number)
{
    check(holds, "%s: %ld", what, number);
}

struct test {
    const char *name;
    void (*run)(void);
};

/* Leaves out `without`, which the thread sanitizer does not support; NULL: none. */
static inline void run_tests(const struct test *tests, size_t count, void (*without)(void))
{
    for (size_t i = 0; i < count; i++) {
        const int before = failures;
        if (tests[i].run == without)
            continue;
        tests[i].run();
        printf("%s: %s\n", tests[i].name, failures == before ? "holds" : "FAILED");
        fflush(stdout);
    }
}

#endif
