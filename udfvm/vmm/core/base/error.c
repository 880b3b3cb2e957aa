/* Filling in struct udfvm_error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

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
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    struct udfvm_size made;
    double amount = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(made.text, sizeof made.text, "%u byte%s", (unsigned)bytes, &"s"[bytes == 1]);
        return made;
    }
    for (amount /= 1024; amount >= 1023.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        amount /= 1024;
    const int length = snprintf(made.text, sizeof made.text, "%.1f", amount);
    const int whole = made.text[length - 1] == '0' ? length - 2 : length;
    snprintf(made.text + whole, sizeof made.text - (size_t)whole, " %s", units[unit]);
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
