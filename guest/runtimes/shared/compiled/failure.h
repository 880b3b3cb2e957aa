/* Why a call fails: put together while it does, then written as its reply. */
#ifndef UDFVM_COMPILED_FAILURE_H
#define UDFVM_COMPILED_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

/* Begins a new failure: type and message (as printf). Returns false, for functions that do so with
 * a failure. */
__attribute__((format(printf, 2, 3))) bool failure_set(const char *type, const char *format, ...);
const char *failure_message(void);
/* Adds, where the micro-VM refused memory in this call, that there was too little of it. */
void failure_add_refusal(void);
/* Adds to its traceback; what does not fit is left out. */
__attribute__((format(printf, 1, 2))) void failure_trace(const char *format, ...);
/* The program died of a signal. */
void failure_signal(uint32_t signal, uint64_t address, uint64_t instruction);
/* Writes the reply; returns its length. `row`: index in the batch, or -1. */
uint64_t failure_reply(int64_t row);

#endif
