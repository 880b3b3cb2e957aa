/* Reports of crashes. */
#ifndef UDFVM_COMPILED_CRASH_H
#define UDFVM_COMPILED_CRASH_H

/* Installs handlers: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP and SIGSYS end the call with
 * a report: address, registers, backtrace. */
void crash_install(void);

#endif
