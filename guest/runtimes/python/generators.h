/* The random number generators that a whole program shares: that of Python's module `random`, and
 * numpy's legacy one.
 *
 * Every call would start with the numbers that they hold when the image is sealed. So they are
 * marked: the first number that is drawn from a marked generator seeds it anew, from the randomness
 * of the call. A call that draws none pays nothing, and a call that seeds a generator itself gets
 * the numbers of that seed.
 */
#ifndef UDFVM_PYTHON_GENERATORS_H
#define UDFVM_PYTHON_GENERATORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

/* Marks the generators of the loaded modules, before the seal. Returns 0, or -1 with an
 * exception. */
int generators_mark(void);

/* Begins a call: seeds generators that could not be marked. Returns 0, or -1 with an exception. */
int generators_begin_call(void);

/* Begins a row: in a deterministic call its clocks, randomness and generators are the same as in
 * any other row. Returns 0, or -1 with an exception. */
int row_begin(void);
/* Returns false if row_begin() does nothing. */
bool call_is_deterministic(void);

#endif
