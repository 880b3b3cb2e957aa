/* _udfvm_agent.HostCaller: what makes calls of a host function that takes and returns numbers. A
 * class of Python code, which makes all other calls, is derived from it. */
#ifndef UDFVM_PYTHON_HOST_CALLER_H
#define UDFVM_PYTHON_HOST_CALLER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec host_caller_type_spec;

/* Sets the exception for a negative result of host_call(). Returns NULL. */
PyObject *host_call_failed(const char *name, int64_t result);

#endif
