/* See failure.h. Nothing is allocated: a crash handler uses it too. */
#include "shared/compiled/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "udfvm_abi.h"
#include "size_text.h"

static struct {
    const char *type;
    char message[2048], traceback[16384];
    uint32_t signal;
    size_t argument;
    uint64_t addresses[2]; /* address, instruction */
} failure;

bool failure_set(const char *type, const char *format, ...)
{
    va_list arguments;
    failure.type = type;
    failure.traceback[0] = 0;
    failure.signal = 0;
    failure.argument = 0;
    va_start(arguments, format);
    vsnprintf(failure.message, sizeof failure.message, format, arguments);
    va_end(arguments);
    return false;
}

bool failure_of_argument(size_t position)
{
    failure.argument = position;
    return false;
}

const char *failure_message(void)
{
    return failure.message;
}

bool failure_explain(const char *before, const char *behind)
{
    char message[sizeof failure.message];
    memcpy(message, failure.message, sizeof message);
    snprintf(failure.message, sizeof failure.message, "%s%.*s%s", before,
             (int)(sizeof message - strlen(before) - strlen(behind) - 1), message, behind);
    return false;
}

void failure_add_refusal(void)
{
    const struct udfvm_refused_memory *refused = (const struct udfvm_refused_memory *)
        UDFVM_REFUSED_MEMORY;
    const size_t used = strlen(failure.message);
    if (refused->length)
        snprintf(failure.message + used, sizeof failure.message - used,
                 "%sthe micro-VM refused %s of memory where %s of %s are used: raise memory=",
                 used ? "; " : "", size_text(refused->length).text, size_text(refused->used).text,
                 size_text(refused->total).text);
}

void failure_trace(const char *format, ...)
{
    va_list arguments;
    const size_t used = strlen(failure.traceback);
    va_start(arguments, format);
    vsnprintf(failure.traceback + used, sizeof failure.traceback - used, format, arguments);
    va_end(arguments);
}

void failure_signal(uint32_t signal, uint64_t address, uint64_t instruction)
{
    failure.signal = signal;
    failure.addresses[0] = address;
    failure.addresses[1] = instruction;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

uint64_t failure_reply(int64_t row)
{
    const struct udfvm_guest_error error = {
        .type_length = (uint32_t)strlen(failure.type),
        .message_length = (uint32_t)strlen(failure.message),
        .traceback_length = (uint32_t)strlen(failure.traceback),
        .signal = (uint16_t)failure.signal,
        .argument = (uint16_t)failure.argument,
        .row = row,
    };
    uint8_t *const output = (uint8_t *)UDFVM_OUTPUT_BASE, *at = put(output, &error, sizeof error);
    at = put(at, failure.type, error.type_length);
    at = put(at, failure.message, error.message_length);
    at = put(at, failure.traceback, error.traceback_length);
    if (failure.signal)
        at = put(at, failure.addresses, sizeof failure.addresses);
    return (uint64_t)(at - output);
}
