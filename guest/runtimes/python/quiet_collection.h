/* A garbage collection that runs no code of Python, for where any such code could do harm. */
#ifndef UDFVM_QUIET_COLLECTION_H
#define UDFVM_QUIET_COLLECTION_H

/* Before the first: finds the functions that a collection calls. Returns 0, or -1 with an
 * exception. */
int quiet_collection_prepare(void);
/* Collects what can be freed without a finaliser, under the interpreter's lock. */
void quiet_collection(void);
/* Frees what quiet collections kept, where finalisers may run: under the lock, between two
 * instructions of Python. */
void quiet_collection_finish(void);

#endif
