// See arrow_engines.h. Engines hold the interpreter's lock while they hand columns over, and their
// threads take turns there. So the way from pyarrow's arrays to the call is short, and lets the
// lock go once, while the micro-VM computes: whoever lets it go waits for it afterwards.
#include "arrow_engines.h"
#include "arrow_numbers.h"

#include <memory>
#include <utility>
#include <vector>

#include <arrow/array/util.h>
#include <arrow/chunked_array.h>
#include <arrow/python/common.h>
#include <arrow/python/pyarrow.h>

using arrow::Datum;
using arrow::Status;

namespace udfvm
{

namespace
{

constexpr const char *CAPSULE = "udfvm.functions._arrow_functions.numbers";

// Makes an exception of what is not OK. Returns NULL.
PyObject *raised(const Status &status)
{
    if (arrow::py::IsPyError(status))
        arrow::py::RestorePyError(status);
    else if (status.IsOutOfMemory())
        PyErr_NoMemory();
    else
        PyErr_SetString(PyExc_TypeError, status.ToString().c_str());
    return nullptr;
}

void drop_numbers(PyObject *capsule)
{
    delete static_cast<NumbersState *>(PyCapsule_GetPointer(capsule, CAPSULE));
}

PyObject *numbers(PyObject *, PyObject *arguments)
{
    PyObject *registration, *parameters, *result;
    if (!PyArg_ParseTuple(arguments, "OO!O:numbers", &registration, &PyTuple_Type, &parameters,
                          &result))
        return nullptr;
    std::vector<std::shared_ptr<arrow::DataType>> types;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parameters); ++i) {
        auto type = arrow::py::unwrap_data_type(PyTuple_GET_ITEM(parameters, i));
        if (!type.ok())
            return raised(type.status());
        types.push_back(*std::move(type));
    }
    auto made = arrow::py::unwrap_data_type(result);
    if (!made.ok())
        return raised(made.status());
    auto state = std::make_unique<NumbersState>(
        numbers_for(std::move(types), *std::move(made), registration));
    PyObject *capsule = PyCapsule_New(state.get(), CAPSULE, drop_numbers);
    if (capsule)
        state.release();
    return capsule;
}

// Adds an array, or a chunked array of one chunk; false: it is neither.
bool take_column(PyObject *column, std::vector<Datum> &columns)
{
    if (arrow::py::is_chunked_array(column)) {
        auto chunked = arrow::py::unwrap_chunked_array(column);
        if (!chunked.ok() || (*chunked)->num_chunks() != 1)
            return false;
        columns.emplace_back((*chunked)->chunk(0));
        return true;
    }
    if (!arrow::py::is_array(column))
        return false;
    auto array = arrow::py::unwrap_array(column);
    if (array.ok())
        columns.emplace_back(*std::move(array));
    return array.ok();
}

PyObject *call_numbers(PyObject *, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4 || !PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError,
                        "call_numbers() takes numbers, a tuple, an address and whether to borrow");
        return nullptr;
    }
    const auto *state = static_cast<NumbersState *>(PyCapsule_GetPointer(arguments[0], CAPSULE));
    const auto *end = static_cast<const int *>(PyLong_AsVoidPtr(arguments[2]));
    if (!state || PyErr_Occurred())
        return nullptr;
    std::vector<Datum> columns;
    const Py_ssize_t parameters = PyTuple_GET_SIZE(arguments[1]);
    columns.reserve((size_t)parameters);
    for (Py_ssize_t i = 0; i < parameters; ++i)
        if (!take_column(PyTuple_GET_ITEM(arguments[1], i), columns))
            return Py_NewRef(Py_NotImplemented);
    auto made = call_until(*state, columns, end, arguments[3] == Py_True);
    if (!made.ok())
        return raised(made.status());
    return *made ? arrow::py::wrap_array(arrow::MakeArray(*made)) : Py_NewRef(Py_NotImplemented);
}

} // namespace

PyMethodDef engine_methods[] = {
    { "numbers", numbers, METH_VARARGS,
      "numbers(registration, parameters, result)\n--\n\n"
      "Returns what calls a function of columns of numbers, which the attribute `calls` of the "
      "registration has, for pyarrow's types." },
    { "call_numbers", (PyCFunction)(void (*)(void))call_numbers, METH_FASTCALL,
      "call_numbers(numbers, columns, end, may_borrow)\n--\n\n"
      "Calls with a tuple of pyarrow's arrays. The call ends by KeyboardInterrupt once the int at "
      "the address `end` is not 0. A large result is read where the micro-VM left it, if it may "
      "be. "
      "Returns NotImplemented where nothing was called: for other "
      "types, nulls, several chunks." },
    { nullptr, nullptr, 0, nullptr },
};

} // namespace udfvm
