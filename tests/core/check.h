/* What tests in C count: statements that do not hold. */
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

#endif
