/* For functions that stand in for variadic ones of the C library. */
#ifndef UDFVM_TEST_VARIADIC_H
#define UDFVM_TEST_VARIADIC_H

#include <stdarg.h>
#include <stddef.h>

/* Fills an array with the arguments behind `last`. */
#define READ_ARGUMENTS(array, last)                                  \
    do {                                                             \
        va_list given;                                               \
        va_start(given, last);                                       \
        for (size_t i = 0; i < sizeof(array) / sizeof *(array); i++) \
            (array)[i] = va_arg(given, __typeof__(*(array)));        \
        va_end(given);                                               \
    } while (0)

#endif
