/* The failure of a call: it is collected during the call, then written as its reply. */
#ifndef UDFVM_COMPILED_FAILURE_H
#define UDFVM_COMPILED_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets a new failure, by type and message (formatted as by printf). Returns false, for callers that
 * fail with it. */
__attribute__((format(printf, 2, 3))) bool failure_set(const char *type, const char *format, ...);
/* Says that the failure is that of an argument, counted from 1, which the function does not get.
 * The message continues a sentence whose subject is the argument. Returns false. */
bool failure_of_argument(size_t position);
const char *failure_message(void);
/* Puts text before and behind the message. Returns false. */
bool failure_explain(const char *before, const char *behind);
/* If the micro-VM refused memory in this call, adds this to the message. */
void failure_add_refusal(void);
/* Appends to the traceback. Text that does not fit is left out. */
__attribute__((format(printf, 1, 2))) void failure_trace(const char *format, ...);
/* Sets the failure of a program that died of a signal. */
void failure_signal(uint32_t signal, uint64_t address, uint64_t instruction);
/* Writes the reply; returns its length. `row`: index in the batch, or -1. */
uint64_t failure_reply(int64_t row);

#endif
