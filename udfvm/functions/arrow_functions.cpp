// Functions of pyarrow.compute that pyarrow's Python interface cannot make.
//
// What Python registers has one kernel, which takes columns of exactly its types; is taken to give
// the same value for the same arguments; and keeps its name for good. Here a function of a name is
// made from one that Python registered under another: it has that one's kernels, but casts columns
// as Arrow's own functions do, may be random, and can be replaced.
//
// This module works with the version of pyarrow that it was compiled for.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <arrow/array/concatenate.h>
#include <arrow/array/util.h>
#include <arrow/chunked_array.h>
#include <arrow/compute/function.h>
#include <arrow/compute/kernel.h>
#include <arrow/compute/registry.h>
#include <arrow/datum.h>
#include <arrow/status.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>

#include "arrow_aggregates.h"
#include "arrow_engines.h"
#include "arrow_interrupts.h"
#include "arrow_numbers.h"
#include "arrow_scans.h"

namespace compute = arrow::compute;
using arrow::DataType;
using arrow::Result;
using arrow::Status;
using arrow::Type;
using arrow::TypeHolder;

namespace
{

template <size_t n> bool is_one_of(Type::type id, const std::array<Type::type, n> &ids)
{
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

constexpr std::array texts = { Type::STRING, Type::LARGE_STRING, Type::STRING_VIEW };
constexpr std::array bytes = { Type::BINARY, Type::LARGE_BINARY, Type::BINARY_VIEW };

// Whether each value of a decimal type is one of another.
bool has_digits_of(const DataType &declared, const DataType &found)
{
    if (!arrow::is_decimal(found.id()) || !arrow::is_decimal(declared.id()))
        return false;
    const auto &from = static_cast<const arrow::DecimalType &>(found);
    const auto &to = static_cast<const arrow::DecimalType &>(declared);
    return from.scale() <= to.scale() &&
           from.precision() - from.scale() <= to.precision() - to.scale();
}

// Whether a comparison of the two would cast the first to the second, and leave that as it is.
bool compares_as(const DataType &found, const DataType &declared)
{
    auto equal = compute::GetFunctionRegistry()->GetFunction("equal");
    std::vector<TypeHolder> types = { &found, &declared };
    return equal.ok() && (*equal)->DispatchBest(&types).ok() && *types[1].type == declared &&
           (*types[0].type == declared || has_digits_of(declared, *types[0].type));
}

// Whether a column is cast to the declared type without being asked.
bool is_cast(const DataType &found, const DataType &declared)
{
    if (found.id() == Type::DICTIONARY) {
        const auto &values = *static_cast<const arrow::DictionaryType &>(found).value_type();
        return values == declared || is_cast(values, declared);
    }
    if (found.id() == Type::NA)
        return true;
    if (is_one_of(found.id(), texts) || is_one_of(found.id(), bytes))
        return is_one_of(declared.id(), is_one_of(found.id(), texts) ? texts : bytes);
    if (arrow::is_floating(found.id()) && arrow::is_floating(declared.id()))
        return found.bit_width() < declared.bit_width();
    if (arrow::is_decimal(found.id()) && arrow::is_decimal(declared.id()))
        return has_digits_of(declared, found);
    return compares_as(found, declared);
}

// A function that has kernels of another, and casts columns to their types.
template <class Base> class Casting : public Base
{
  public:
    using Base::Base;
    using Base::Execute;

    udfvm::NumbersState numbers; // null: columns are not of numbers
    bool asks = false;           // its columns are cast to their types whatever they have

    // The executor of a kernel does nothing for arrays of the declared types that is needed here.
    Result<arrow::Datum> Execute(const std::vector<arrow::Datum> &arguments,
                                 const compute::FunctionOptions *options,
                                 compute::ExecContext *context) const override
    {
        if (numbers) {
            ARROW_ASSIGN_OR_RAISE(auto made, udfvm::call(numbers, arguments, context));
            if (made)
                return arrow::Datum(std::move(made));
        }
        return Base::Execute(arguments, options, context);
    }

    Result<const compute::Kernel *> DispatchBest(std::vector<TypeHolder> *types) const override
    {
        ARROW_RETURN_NOT_OK(this->CheckArity(types->size()));
        for (const auto *kernel : this->kernels()) {
            const auto &declared = kernel->signature->in_types();
            for (size_t i = 0; i < types->size() && !declared.empty(); ++i) {
                const auto &type = declared[std::min(i, declared.size() - 1)].type();
                if (*(*types)[i].type != *type && (asks || is_cast(*(*types)[i].type, *type)))
                    (*types)[i] = type;
            }
        }
        return this->DispatchExact(*types);
    }
};

// An aggregate of which the same holds, for Acero as well, which asks for the types that columns
// have.
template <class Base, class Kernel> class CastingAggregate : public Casting<Base>
{
  public:
    using Casting<Base>::Casting;

    Result<const compute::Kernel *> DispatchExact(
        const std::vector<TypeHolder> &types) const override
    {
        auto exact = Base::DispatchExact(types);
        if (exact.ok())
            return exact;
        for (const auto *kernel : this->kernels())
            if (takes(*kernel, types))
                return cast_kernel(*kernel, types);
        return exact;
    }

  private:
    static bool takes(const Kernel &kernel, const std::vector<TypeHolder> &types)
    {
        const auto &declared = kernel.signature->in_types();
        bool fit = declared.size() == types.size();
        for (size_t i = 0; fit && i < types.size(); ++i)
            fit = *types[i].type == *declared[i].type() ||
                  is_cast(*types[i].type, *declared[i].type());
        return fit;
    }

    // Callers keep the kernel as long as the function, so there is one for all of them.
    const Kernel *cast_kernel(const Kernel &kernel, const std::vector<TypeHolder> &types) const
    {
        std::lock_guard guard(lock_);
        for (const auto &known : cast_kernels_)
            if (known->signature->MatchesInputs(types))
                return known.get();
        cast_kernels_.push_back(udfvm::casting(kernel, types));
        return cast_kernels_.back().get();
    }

    mutable std::mutex lock_;
    mutable std::vector<std::unique_ptr<Kernel>> cast_kernels_;
};

// A vector function sees a column as a whole, whatever its chunks are.
Status execute_whole(compute::KernelContext *context, const compute::ExecBatch &batch,
                     arrow::Datum *out)
{
    compute::ExecBatch whole = batch;
    for (auto &value : whole.values) {
        if (!value.is_chunked_array())
            continue;
        const auto &chunked = *value.chunked_array();
        if (chunked.num_chunks() == 0) {
            ARROW_ASSIGN_OR_RAISE(value,
                                  arrow::MakeEmptyArray(chunked.type(), context->memory_pool()));
        } else {
            ARROW_ASSIGN_OR_RAISE(value,
                                  arrow::Concatenate(chunked.chunks(), context->memory_pool()));
        }
    }
    compute::ExecResult result;
    const auto *kernel = static_cast<const compute::VectorKernel *>(context->kernel());
    ARROW_RETURN_NOT_OK(kernel->exec(context, compute::ExecSpan(whole), &result));
    *out = result.array_data();
    return Status::OK();
}

// What a function is, besides its kernels.
struct Publication {
    bool is_pure;
    PyObject *registration;
    int fewest; // arguments, where there may be any number; negative: as the source has it
    bool asks;  // it is asked to cast columns to its types, as by `cast`
};

// The kernel of a function, made of that of another.
compute::ScalarKernel adapted(const compute::ScalarKernel &kernel, PyObject *registration)
{
    const auto &registered = udfvm::registered(udfvm::without_scans(kernel));
    return udfvm::in_scans(udfvm::of_numbers(registered, registration));
}

compute::VectorKernel adapted(const compute::VectorKernel &kernel, PyObject *registration)
{
    auto made = udfvm::of_numbers(udfvm::registered(kernel), registration);
    made.exec_chunked = execute_whole;
    made.can_execute_chunkwise = false;
    made.output_chunked = false;
    return made;
}

template <class Kernel> Kernel adapted(const Kernel &kernel, PyObject *)
{
    return kernel;
}

udfvm::NumbersState numbers_of(const compute::ScalarKernel &kernel)
{
    return udfvm::numbers_of(udfvm::without_scans(kernel));
}

udfvm::NumbersState numbers_of(const compute::Kernel &kernel)
{
    return udfvm::numbers_of(kernel);
}

template <class Base, class Function = Casting<Base>, class... Flags>
Result<std::shared_ptr<compute::Function>> made(std::string name, const compute::Function &source,
                                                const Publication &publication, Flags... flags)
{
    const auto arity = publication.fewest < 0 ? source.arity()
                                              : compute::Arity::VarArgs(publication.fewest);
    auto function = std::make_shared<Function>(std::move(name), arity, source.doc(),
                                               source.default_options(), flags...);
    function->asks = publication.asks;
    for (const auto *each : static_cast<const Base &>(source).kernels()) {
        auto kernel = adapted(*each, publication.registration);
        function->numbers = numbers_of(kernel);
        ARROW_RETURN_NOT_OK(function->AddKernel(std::move(kernel)));
    }
    return function;
}

Result<std::shared_ptr<compute::Function>> copy_of(const compute::Function &source,
                                                   std::string name, const Publication &publication)
{
    switch (source.kind()) {
    case compute::Function::SCALAR:
        return made<compute::ScalarFunction>(std::move(name), source, publication,
                                             publication.is_pure);
    case compute::Function::VECTOR:
        return made<compute::VectorFunction>(std::move(name), source, publication);
    case compute::Function::SCALAR_AGGREGATE:
        return made<
            compute::ScalarAggregateFunction,
            CastingAggregate<compute::ScalarAggregateFunction, compute::ScalarAggregateKernel>>(
            std::move(name), source, publication);
    case compute::Function::HASH_AGGREGATE:
        return made<compute::HashAggregateFunction,
                    CastingAggregate<compute::HashAggregateFunction, compute::HashAggregateKernel>>(
            std::move(name), source, publication);
    case compute::Function::META:
        break;
    }
    return Status::TypeError(source.name(), " has no kernels");
}

Status publish(const std::string &source_name, std::string name, const Publication &publication)
{
    auto *registry = compute::GetFunctionRegistry();
    ARROW_ASSIGN_OR_RAISE(auto source, registry->GetFunction(source_name));
    ARROW_ASSIGN_OR_RAISE(auto function, copy_of(*source, std::move(name), publication));
    return registry->AddFunction(std::move(function), /*allow_overwrite=*/true);
}

PyObject *none_if_ok(const Status &status)
{
    if (!status.ok()) {
        PyErr_SetString(PyExc_ValueError, status.ToString().c_str());
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject *publish_function(PyObject *, PyObject *arguments)
{
    const char *source, *name;
    int is_pure, asks;
    Publication publication;
    if (!PyArg_ParseTuple(arguments, "sspOip:publish", &source, &name, &is_pure,
                          &publication.registration, &publication.fewest, &asks))
        return nullptr;
    publication.is_pure = is_pure != 0;
    publication.asks = asks != 0;
    return none_if_ok(publish(source, name, publication));
}

// A column without values, of as many rows as the batch has.
Status execute_rows(compute::KernelContext *, const compute::ExecSpan &batch,
                    compute::ExecResult *out)
{
    out->value = arrow::ArrayData::Make(arrow::null(), batch.length, { nullptr }, batch.length);
    return Status::OK();
}

Status publish_rows_as(std::string name)
{
    auto function = std::make_shared<compute::ScalarFunction>(
        std::move(name), compute::Arity::Nullary(), compute::FunctionDoc::Empty(), nullptr,
        /*is_pure=*/false);
    compute::ScalarKernel kernel({}, arrow::null(), execute_rows);
    kernel.mem_allocation = compute::MemAllocation::NO_PREALLOCATE;
    kernel.null_handling = compute::NullHandling::COMPUTED_NO_PREALLOCATE;
    ARROW_RETURN_NOT_OK(function->AddKernel(std::move(kernel)));
    return compute::GetFunctionRegistry()->AddFunction(std::move(function),
                                                       /*allow_overwrite=*/true);
}

PyObject *publish_rows(PyObject *, PyObject *arguments)
{
    const char *name;
    if (!PyArg_ParseTuple(arguments, "s:publish_rows", &name))
        return nullptr;
    return none_if_ok(publish_rows_as(name));
}

PyObject *end_of_call(PyObject *, PyObject *)
{
    return PyLong_FromVoidPtr(udfvm::end_of_call());
}

PyMethodDef methods[] = {
    { "end_of_call", end_of_call, METH_NOARGS,
      "end_of_call()\n--\n\n"
      "Returns the address of an int that is not 0 once the call of this thread is to end; 0 if "
      "the call is part of no scan." },
    { "publish_rows", publish_rows, METH_VARARGS,
      "publish_rows(name)\n--\n\n"
      "Makes a function without parameters, of a column without values, for each batch of an "
      "expression as long as that." },
    { "publish", publish_function, METH_VARARGS,
      "publish(source, name, is_pure, registration, fewest, asks)\n--\n\n"
      "Makes the function of a name from one that was registered under another, and replaces what "
      "has the name. Columns of numbers go to what the attribute calls of the registration has. "
      "It takes any number of arguments from fewest on, if that is not negative. If it asks, any "
      "column is cast to its type." },
    { nullptr, nullptr, 0, nullptr },
};

PyModuleDef definition = { PyModuleDef_HEAD_INIT,
                           "_arrow_functions",
                           nullptr,
                           -1,
                           methods,
                           nullptr,
                           nullptr,
                           nullptr,
                           nullptr };

} // namespace

PyMODINIT_FUNC PyInit__arrow_functions()
{
    udfvm::begin_scans();
    PyObject *module = udfvm::find_column_calls() ? PyModule_Create(&definition) : nullptr;
    if (module && (PyModule_AddFunctions(module, udfvm::interrupt_methods) < 0 ||
                   PyModule_AddFunctions(module, udfvm::engine_methods) < 0))
        Py_CLEAR(module);
    return module;
}
