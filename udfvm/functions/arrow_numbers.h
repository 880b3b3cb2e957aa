// Kernels of functions whose columns are numbers: their calls need no Python code.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arrow/compute/kernel.h>

namespace udfvm
{

// Finds what makes the calls. False with an exception.
bool find_column_calls();

// The kernel that Python registered, in one that was made of it; else the kernel itself.
template <class Kernel> const Kernel &registered(const Kernel &kernel);

// A kernel that calls what the attribute `calls` of an object has, a udfvm.call.dispatch.Calls or
// None, and leaves all that this does not take to the kernel that Python registered.
template <class Kernel> Kernel of_numbers(const Kernel &registered, PyObject *registration);

} // namespace udfvm
