/* The backtrace of a crash report. */
#ifndef UDFVM_COMPILED_BACKTRACE_H
#define UDFVM_COMPILED_BACKTRACE_H

#include <ucontext.h>

/* Adds the frames from these registers on to the failure's traceback: those of the function first,
 * then those of libraries that it called. */
void backtrace_trace(const greg_t *values);

#endif
