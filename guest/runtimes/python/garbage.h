/* Garbage collections by memory in use. CPython collects when so many containers are alive, however
 * much they hold: a few that refer to each other may hold all memory. And one before an allocation
 * fails. */
#ifndef UDFVM_PYTHON_GARBAGE_H
#define UDFVM_PYTHON_GARBAGE_H

/* At the start of the program: from now on memory that is taken is noted. Returns 0, or -1 with an
 * exception. */
int garbage_watch(void);
/* Before each seal: what is in use now is no garbage of a call. */
void garbage_settle(void);

#endif
