/* Filling in struct udfvm_error, and passing errors on. A function that can fail returns a code of
 * enum udfvm_code, and `error` (may be NULL) says more. */
#ifndef UDFVM_BASE_ERROR_H
#define UDFVM_BASE_ERROR_H

#include "api.h"

/* Returns `code`. */
int udfvm_fail(struct udfvm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As udfvm_fail with UDFVM_E_SYSTEM and the present errno, whose text is appended. */
int udfvm_fail_errno(struct udfvm_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void udfvm_error_clear(struct udfvm_error *error);

/* Returns the code of an expression that failed: for functions with nothing to clean up. */
#define UDFVM_TRY(expression)                    \
    do {                                         \
        const int udfvm_try_code = (expression); \
        if (udfvm_try_code != UDFVM_OK)          \
            return udfvm_try_code;               \
    } while (0)
/* Keeps the code in `code`, and where the expression failed goes to the label that cleans up. */
#define UDFVM_TRY_GOTO(code, label, expression) \
    do {                                        \
        (code) = (expression);                  \
        if ((code) != UDFVM_OK)                 \
            goto label;                         \
    } while (0)

#endif
