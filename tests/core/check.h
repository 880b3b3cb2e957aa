/* What tests in C count: statements that do not hold. And the order in which they run: each says
 * whether it holds. */
#ifndef UDFVM_TESTS_CHECK_H
#define UDFVM_TESTS_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int failures;

/* Says what failed, where it did. */
static void check(bool holds, const char *format, ...)
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

struct test {
    const char *name;
    void (*run)(void);
};

static void run_tests(const struct test *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int before = failures;
        tests[i].run();
        printf("%s: %s\n", tests[i].name, failures == before ? "holds" : "FAILED");
        fflush(stdout);
    }
}

#endif
