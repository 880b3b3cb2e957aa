/* Filling in struct udfvm_error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "size_text.h"

void udfvm_error_clear(struct udfvm_error *error)
{
    if (!error)
        return;
    error->code = UDFVM_OK;
    error->os_errno = error->signal = 0;
    error->address = error->rip = 0;
    error->message[0] = 0; /* the rest would take longer than the way to the guest */
}

struct udfvm_size udfvm_format_size(uint64_t bytes)
{
    struct udfvm_size made;
    const struct size_text text = size_text(bytes);
    _Static_assert(sizeof text == sizeof made, "both have room for the longest text");
    memcpy(made.text, text.text, sizeof made.text);
    return made;
}

int udfvm_fail(struct udfvm_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        *error = (struct udfvm_error){ .code = code };
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return code;
}

int udfvm_fail_errno(struct udfvm_error *error, const char *format, ...)
{
    int number = errno;
    if (error) {
        va_list arguments;
        *error = (struct udfvm_error){ .code = UDFVM_E_SYSTEM, .os_errno = number };
        va_start(arguments, format);
        int length = vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        char text[128];
        if (length >= 0 && (size_t)length < sizeof error->message)
            snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s",
                     strerror_r(number, text, sizeof text));
    }
    return UDFVM_E_SYSTEM;
}
