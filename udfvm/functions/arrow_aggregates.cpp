// Kernels of aggregates that cast. Functions cast before they execute a kernel, but Acero
// (``Table.group_by``) takes a kernel for exactly the types that columns have, so there is one for
// these too.
#include "arrow_aggregates.h"

#include <utility>

#include <arrow/compute/cast.h>
#include <arrow/compute/exec.h>
#include <arrow/datum.h>
#include <arrow/result.h>
#include <arrow/status.h>

namespace compute = arrow::compute;
using arrow::Datum;
using arrow::Result;
using arrow::Status;
using arrow::TypeHolder;

namespace
{

// The state of a kernel that casts: that of the other kernel.
template <class Kernel> struct CastState : compute::KernelState {
    CastState(const Kernel *kernel, std::unique_ptr<compute::KernelState> inner)
        : kernel(kernel), inner(std::move(inner))
    {
    }

    const Kernel *kernel;
    std::unique_ptr<compute::KernelState> inner;
};

template <class Kernel> CastState<Kernel> &of(compute::KernelState *state)
{
    return *static_cast<CastState<Kernel> *>(state);
}

// The context in which the other kernel works.
template <class Kernel>
compute::KernelContext inner_context(compute::KernelContext *context, CastState<Kernel> &state)
{
    compute::KernelContext inner(context->exec_context(), state.kernel);
    inner.SetState(state.inner.get());
    return inner;
}

template <class Kernel>
Status consume(compute::KernelContext *context, const compute::ExecSpan &batch)
{
    auto &state = of<Kernel>(context->state());
    auto inner = inner_context(context, state);
    const auto &declared = state.kernel->signature->in_types();
    compute::ExecBatch cast = batch.ToExecBatch();
    for (size_t i = 0; i < cast.values.size() && i < declared.size(); ++i) {
        Datum &value = cast.values[i];
        if (*value.type() != *declared[i].type()) {
            ARROW_ASSIGN_OR_RAISE(value, compute::Cast(value, declared[i].type(),
                                                       compute::CastOptions::Safe(),
                                                       context->exec_context()));
        }
    }
    return state.kernel->consume(&inner, compute::ExecSpan(cast));
}

template <class Kernel> Status finalize(compute::KernelContext *context, Datum *out)
{
    auto &state = of<Kernel>(context->state());
    auto inner = inner_context(context, state);
    return state.kernel->finalize(&inner, out);
}

Status resize(compute::KernelContext *context, int64_t groups)
{
    auto &state = of<compute::HashAggregateKernel>(context->state());
    auto inner = inner_context(context, state);
    return state.kernel->resize(&inner, groups);
}

Status merge_groups(compute::KernelContext *context, compute::KernelState &&other,
                    const arrow::ArrayData &groups)
{
    auto &state = of<compute::HashAggregateKernel>(context->state());
    auto inner = inner_context(context, state);
    return state.kernel->merge(&inner, std::move(*of<compute::HashAggregateKernel>(&other).inner),
                               groups);
}

Status merge(compute::KernelContext *context, compute::KernelState &&from, compute::KernelState *to)
{
    auto &state = of<compute::ScalarAggregateKernel>(to);
    auto inner = inner_context(context, state);
    return state.kernel->merge(&inner, std::move(*of<compute::ScalarAggregateKernel>(&from).inner),
                               state.inner.get());
}

template <class Kernel> compute::KernelInit init_of(const Kernel &kernel)
{
    return [source = &kernel](compute::KernelContext *context, const compute::KernelInitArgs &args)
               -> Result<std::unique_ptr<compute::KernelState>> {
        std::vector<TypeHolder> declared;
        for (const auto &each : source->signature->in_types())
            declared.emplace_back(each.type());
        compute::KernelContext inner(context->exec_context(), source);
        ARROW_ASSIGN_OR_RAISE(auto state, source->init(&inner, { source, declared, args.options }));
        return std::make_unique<CastState<Kernel>>(source, std::move(state));
    };
}

std::shared_ptr<compute::KernelSignature> signature_of(const compute::Kernel &kernel,
                                                       const std::vector<TypeHolder> &types)
{
    std::vector<compute::InputType> inputs;
    for (const auto &type : types)
        inputs.emplace_back(type.GetSharedPtr());
    return compute::KernelSignature::Make(std::move(inputs), kernel.signature->out_type());
}

} // namespace

std::unique_ptr<compute::ScalarAggregateKernel> udfvm::casting(
    const compute::ScalarAggregateKernel &kernel, const std::vector<TypeHolder> &types)
{
    using Kernel = compute::ScalarAggregateKernel;
    return std::make_unique<Kernel>(signature_of(kernel, types), init_of(kernel), consume<Kernel>,
                                    merge, finalize<Kernel>, kernel.ordered);
}

std::unique_ptr<compute::HashAggregateKernel> udfvm::casting(
    const compute::HashAggregateKernel &kernel, const std::vector<TypeHolder> &types)
{
    using Kernel = compute::HashAggregateKernel;
    return std::make_unique<Kernel>(signature_of(kernel, types), init_of(kernel), resize,
                                    consume<Kernel>, merge_groups, finalize<Kernel>,
                                    kernel.ordered);
}
