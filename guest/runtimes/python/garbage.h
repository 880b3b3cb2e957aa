/* Garbage collections by memory in use. CPython collects when so many containers are alive, however
 * much they hold: a few that refer to each other may hold all memory. */
#ifndef UDFVM_PYTHON_GARBAGE_H
#define UDFVM_PYTHON_GARBAGE_H

/* At the start of the program: from now on memory that is taken is noted. */
void garbage_watch(void);
/* Before each seal: what is in use now is no garbage of a call. */
void garbage_settle(void);

#endif
