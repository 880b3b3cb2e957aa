/* The allocators of the program: where what a call makes will lie. Each page that a call writes is
 * put back after it. */
#ifndef UDFVM_PYTHON_ALLOCATORS_H
#define UDFVM_PYTHON_ALLOCATORS_H

/* At the start of the program. */
void allocators_tune(void);
/* Before each seal: what is allocated next lies on few pages. */
void allocators_settle(void);

#endif
