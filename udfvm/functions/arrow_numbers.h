// Kernels of functions whose columns are numbers: their calls need no Python code.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <memory>
#include <vector>

#include <arrow/compute/exec.h>
#include <arrow/compute/kernel.h>
#include <arrow/datum.h>
#include <arrow/result.h>

namespace udfvm
{

// Finds what makes the calls. False with an exception.
bool find_column_calls();

// The kernel that Python registered, in one that was made of it; else the kernel itself.
template <class Kernel> const Kernel &registered(const Kernel &kernel);

// A kernel that calls what the attribute `calls` of an object has, a udfvm.call.dispatch.Calls or
// None, and leaves all that this does not take to the kernel that Python registered.
template <class Kernel> Kernel of_numbers(const Kernel &registered, PyObject *registration);

// What `of_numbers` made of a kernel, for calls without a kernel's executor.
using NumbersState = std::shared_ptr<arrow::compute::KernelState>;

// Null: it made nothing of it.
NumbersState numbers_of(const arrow::compute::Kernel &kernel);

// The same for an object and types of numbers, without a kernel. With the interpreter's lock.
NumbersState numbers_for(std::vector<std::shared_ptr<arrow::DataType>> parameters,
                         std::shared_ptr<arrow::DataType> result, PyObject *registration);

// Calls with arrays of exactly the declared types. Null where that is left to the executor: nothing
// was called then.
arrow::Result<std::shared_ptr<arrow::ArrayData>> call(const NumbersState &state,
                                                      const std::vector<arrow::Datum> &arguments,
                                                      arrow::compute::ExecContext *context);

// The same for an engine, whose calls end once `end` is not 0. A large result may stay where the
// micro-VM left it, if `may_borrow`.
arrow::Result<std::shared_ptr<arrow::ArrayData>> call_until(
    const NumbersState &state, const std::vector<arrow::Datum> &arguments, const int *end,
    bool may_borrow);

} // namespace udfvm
