/* Ends a call at its deadline by an exception in its thread, which Python code sees between two
 * instructions. All of this holds the interpreter's lock, so it is one step to the others.
 *
 * `ends` is a dictionary of the program: when the call ends that a thread is in, in nanoseconds, by
 * the thread. A thread that runs code of the program is not in it. */
#ifndef UDFVM_PYTHON_IN_PROCESS_DEADLINES_H
#define UDFVM_PYTHON_IN_PROCESS_DEADLINES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Calls the function. Until it returns, its thread is in `ends` with this end; with none, if that
 * is None. No exception of stop_late() comes later. */
PyObject *call_until(PyObject *function, PyObject *ends, PyObject *end);

/* stop_late(ends, now, again, exception): raises it in threads whose end has come. Where it had no
 * effect, it comes once more at `again`. */
PyObject *agent_stop_late(PyObject *module, PyObject *arguments);

#endif
