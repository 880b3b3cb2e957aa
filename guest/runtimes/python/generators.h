/* The random number generators that a whole program shares: that of Python's module `random`, and
 * numpy's old one.
 *
 * What they hold when the image is sealed, every call would find. So they are marked: the first
 * number that is drawn from a marked generator seeds it anew, from the randomness of the call. A
 * call that draws none pays nothing, and one that seeds a generator itself gets the numbers of that
 * seed.
 * */
#ifndef UDFVM_PYTHON_GENERATORS_H
#define UDFVM_PYTHON_GENERATORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

/* Before the seal: marks the generators of the modules that are loaded. 0; -1 with an exception. */
int generators_mark(void);

/* A call begins: seeds generators that could not be marked. 0; -1 with an exception. */
int generators_begin_call(void);

/* A row begins: in a deterministic call its clocks, its randomness and the generators are as at
 * the beginning of any other. 0; -1 with an exception. */
int row_begin(void);

#endif
