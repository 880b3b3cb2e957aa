// See arrow_numbers.h.
#include "arrow_numbers.h"
#include "arrow_scans.h"

#include <array>
#include <utility>
#include <vector>

#include <arrow/array/concatenate.h>
#include <arrow/array/data.h>
#include <arrow/buffer.h>
#include <arrow/memory_pool.h>
#include <arrow/python/common.h>
#include <arrow/python/pyarrow.h>
#include <arrow/status.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>

#include "column_calls.h"

namespace compute = arrow::compute;
using arrow::ArrayData;
using arrow::Result;
using arrow::Status;

namespace udfvm
{

namespace
{

constexpr int MAX_COLUMNS = 32; // of functions whose calls are made here

const column_calls *calls_of_columns;
PyObject *name_of_calls;

// Memory of a VM, which runs again when nobody reads it any more. It is freed by threads of Arrow,
// at any time: nothing of it is an object of Python.
class Borrowed : public arrow::Buffer
{
  public:
    Borrowed(const void *data, int64_t size, void *owner)
        : Buffer(static_cast<const uint8_t *>(data), size), owner_(owner)
    {
    }
    ~Borrowed() override
    {
        calls_of_columns->let_go(owner_);
    }

  private:
    void *owner_;
};

// What the kernels of a name share.
struct Numbers : public compute::KernelState {
    std::vector<std::shared_ptr<arrow::DataType>> parameters;
    std::shared_ptr<arrow::DataType> result;
    arrow::py::OwnedRefNoGIL registration;
};

template <class Kernel> struct NumbersOf : public Numbers {
    explicit NumbersOf(const Kernel &kernel) : registered(kernel)
    {
    }
    Kernel registered;
};

// Columns of values alone, and where they lie.
struct Columns {
    int64_t rows;
    int count = 0;
    std::array<const void *, MAX_COLUMNS> data;
    std::array<size_t, MAX_COLUMNS> sizes;

    // Takes one more; false: it is no such column. `column` is an ArraySpan or ArrayData.
    template <class Column> bool take(const Column &column, const uint8_t *values)
    {
        if (count == MAX_COLUMNS || column.length != rows || rows == 0 || values == nullptr ||
            !arrow::is_numeric(column.type->id()) || column.GetNullCount() != 0)
            return false;
        const int64_t width = column.type->byte_width();
        data[count] = values + column.offset * width;
        sizes[count++] = rows * width;
        return true;
    }
};

bool take(const compute::ExecSpan &batch, Columns &columns)
{
    columns.rows = batch.length;
    size_t count = batch.values.size();
    if (count && batch.values[count - 1].type()->id() == arrow::Type::NA)
        --count; // it says how many rows there are
    for (size_t i = 0; i < count; ++i) {
        const auto &value = batch.values[i];
        if (!value.is_array() || !columns.take(value.array, value.array.buffers[1].data))
            return false;
    }
    return columns.count > 0;
}

bool take(const std::vector<arrow::Datum> &arguments, const Numbers &numbers, Columns &columns)
{
    if (arguments.empty() || arguments.size() != numbers.parameters.size() ||
        !arguments[0].is_array())
        return false;
    columns.rows = arguments[0].length();
    for (size_t i = 0; i < arguments.size(); ++i) {
        if (!arguments[i].is_array() || *arguments[i].type() != *numbers.parameters[i])
            return false;
        const auto &column = *arguments[i].array();
        const auto &values = column.buffers[1];
        if (!columns.take(column, values ? values->data() : nullptr))
            return false;
    }
    return true;
}

// A result, as it is made.
struct Made {
    arrow::MemoryPool *pool;
    std::shared_ptr<arrow::Buffer> buffer;
    std::shared_ptr<ArrayData> other;
    Status status;

    static void *allocate(void *made, size_t size)
    {
        auto *self = static_cast<Made *>(made);
        auto buffer = arrow::AllocateBuffer(size, self->pool);
        self->status = buffer.status();
        if (!buffer.ok())
            return nullptr;
        self->buffer = *std::move(buffer);
        return self->buffer->mutable_data();
    }
};

Status take_other(PyObject *array, const arrow::DataType &type, Made &made)
{
    arrow::py::OwnedRef owned(array);
    ARROW_ASSIGN_OR_RAISE(auto found, arrow::py::unwrap_array(array));
    if (*found->type() != type)
        return Status::TypeError("the result is ", found->type()->ToString(), ", not ",
                                 type.ToString());
    ARROW_ASSIGN_OR_RAISE(auto copied, arrow::Concatenate({ found }, made.pool));
    made.other = copied->data();
    return Status::OK();
}

// Makes the call, with the interpreter's lock. What it makes is nothing where Python is to make it.
Status make(const Numbers &numbers, column_call &call, Made &made)
{
    arrow::py::OwnedRef calls(PyObject_GetAttr(numbers.registration.obj(), name_of_calls));
    ARROW_RETURN_NOT_OK(arrow::py::CheckPyError());
    if (calls.obj() == Py_None)
        return Status::OK();
    switch (calls_of_columns->call(calls.obj(), &call)) {
    case COLUMN_CALL_DONE:
        if (call.borrowed)
            made.buffer = std::make_shared<Borrowed>(call.borrowed, call.result_size, call.owner);
        return Status::OK();
    case COLUMN_CALL_OTHER:
        return take_other(call.other, *numbers.result, made);
    case COLUMN_CALL_RAISED:
        return arrow::py::ConvertPyError();
    case COLUMN_CALL_FULL:
        return made.status.ok() ? Status::OutOfMemory("no memory for a call") : made.status;
    case COLUMN_CALL_NOT:
        break;
    }
    return Status::OK();
}

// Null where Python is to make the call.
Result<std::shared_ptr<ArrayData>> call_with(const Numbers &numbers, const Columns &columns,
                                             arrow::MemoryPool *pool, bool may_borrow,
                                             const int *end)
{
    Made made = { pool, nullptr, nullptr, Status::OK() };
    column_call call = {};
    call.rows = columns.rows;
    call.count = columns.count;
    call.columns = columns.data.data();
    call.sizes = columns.sizes.data();
    call.result_size = columns.rows * numbers.result->byte_width();
    // A caller with a pool of its own wants to know there what it uses.
    call.may_borrow = may_borrow && pool == arrow::default_memory_pool();
    call.end = end;
    call.allocate = Made::allocate;
    call.context = &made;
    ARROW_RETURN_NOT_OK(
        arrow::py::SafeCallIntoPython([&]() -> Status { return make(numbers, call, made); }));
    if (made.buffer)
        return ArrayData::Make(numbers.result, columns.rows, { nullptr, std::move(made.buffer) },
                               0);
    return std::move(made.other);
}

template <class Kernel>
Status execute(compute::KernelContext *context, const compute::ExecSpan &batch,
               compute::ExecResult *out)
{
    const auto &numbers = static_cast<const NumbersOf<Kernel> &>(
        *static_cast<const Kernel *>(context->kernel())->data);
    Columns columns;
    if (take(batch, columns)) {
        // A scan collects results: the VMs of the first ones would not run again till its end.
        ARROW_ASSIGN_OR_RAISE(
            auto made, call_with(numbers, columns, context->memory_pool(), false, end_of_call()));
        if (made) {
            out->value = std::move(made);
            return Status::OK();
        }
    }
    compute::KernelContext python(context->exec_context(), &numbers.registered);
    python.SetState(context->state());
    return numbers.registered.exec(&python, batch, out);
}

} // namespace

bool find_column_calls()
{
    name_of_calls = PyUnicode_InternFromString("calls");
    calls_of_columns = static_cast<const column_calls *>(PyCapsule_Import(COLUMN_CALLS, 0));
    return name_of_calls && calls_of_columns && arrow::py::import_pyarrow() == 0;
}

template <class Kernel> const Kernel &registered(const Kernel &kernel)
{
    const auto *made = dynamic_cast<const NumbersOf<Kernel> *>(kernel.data.get());
    return made ? made->registered : kernel;
}

template <class Kernel> Kernel of_numbers(const Kernel &registered, PyObject *registration)
{
    const auto &type = registered.signature->out_type();
    if (type.kind() != compute::OutputType::FIXED || !arrow::is_numeric(type.type()->id()))
        return registered;
    auto numbers = std::make_shared<NumbersOf<Kernel>>(registered);
    for (const auto &parameter : registered.signature->in_types())
        numbers->parameters.push_back(parameter.type());
    numbers->result = type.type();
    Py_INCREF(registration);
    numbers->registration.reset(registration);
    Kernel kernel = registered;
    kernel.exec = execute<Kernel>;
    kernel.data = std::move(numbers);
    return kernel;
}

NumbersState numbers_of(const compute::Kernel &kernel)
{
    return std::dynamic_pointer_cast<Numbers>(kernel.data);
}

NumbersState numbers_for(std::vector<std::shared_ptr<arrow::DataType>> parameters,
                         std::shared_ptr<arrow::DataType> result, PyObject *registration)
{
    auto numbers = std::make_shared<Numbers>();
    numbers->parameters = std::move(parameters);
    numbers->result = std::move(result);
    Py_INCREF(registration);
    numbers->registration.reset(registration);
    return numbers;
}

Result<std::shared_ptr<ArrayData>> call(const NumbersState &state,
                                        const std::vector<arrow::Datum> &arguments,
                                        compute::ExecContext *context)
{
    const auto &numbers = static_cast<const Numbers &>(*state);
    Columns columns;
    if (!take(arguments, numbers, columns))
        return nullptr;
    return call_with(numbers, columns,
                     context ? context->memory_pool() : arrow::default_memory_pool(), true,
                     end_of_call());
}

Result<std::shared_ptr<ArrayData>> call_until(const NumbersState &state,
                                              const std::vector<arrow::Datum> &arguments,
                                              const int *end, bool may_borrow)
{
    const auto &numbers = static_cast<const Numbers &>(*state);
    Columns columns;
    if (!take(arguments, numbers, columns))
        return nullptr;
    return call_with(numbers, columns, arrow::default_memory_pool(), may_borrow, end);
}

template const compute::ScalarKernel &registered(const compute::ScalarKernel &);
template const compute::VectorKernel &registered(const compute::VectorKernel &);
template compute::ScalarKernel of_numbers(const compute::ScalarKernel &, PyObject *);
template compute::VectorKernel of_numbers(const compute::VectorKernel &, PyObject *);

} // namespace udfvm
