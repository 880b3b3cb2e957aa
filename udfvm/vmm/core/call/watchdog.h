/* The thread that keeps the deadlines of all calls, and the signal by which it stops them. */
#ifndef UDFVM_CALL_WATCHDOG_H
#define UDFVM_CALL_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct deadline;
struct hypervisor;
struct udfvm_error;

#define UDFVM_KICK_SIGNAL (SIGRTMAX - 3)

/* Once, before the deadline is used; it is zeroed. */
void udfvm_deadline_register(struct deadline *deadline);
void udfvm_deadline_unregister(struct deadline *deadline);
/* When it looks next. */
uint64_t udfvm_watchdog_wakes_at(void);
/* It looks at next_ns, or sooner. */
int udfvm_watchdog_wake(uint64_t next_ns, struct udfvm_error *error);
/* Ends its thread. The next deadline starts another. */
void udfvm_watchdog_rest(void);
void udfvm_watchdog_before_fork(void);
void udfvm_watchdog_in_parent(void);
void udfvm_watchdog_in_child(void);

/* Makes a thread leave the guest, whatever the program does with its signals. */
void udfvm_kick(pid_t thread);
/* After a run was interrupted: what its thread blocks would interrupt it for ever. Kicks are taken;
 * for others the vCPU does as the thread does until all signals are admitted again, then it returns
 * true. */
bool udfvm_signals_settle(const struct hypervisor *hypervisor);

#endif
