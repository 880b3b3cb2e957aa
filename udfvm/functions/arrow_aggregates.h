// Aggregates over columns of other types than the declared ones.
#ifndef UDFVM_ARROW_AGGREGATES_H
#define UDFVM_ARROW_AGGREGATES_H

#include <memory>
#include <vector>

#include <arrow/compute/kernel.h>
#include <arrow/type.h>

namespace udfvm
{

// A kernel for columns of some types, which casts them and gives them to another kernel. The other
// must live as long.
std::unique_ptr<arrow::compute::ScalarAggregateKernel> casting(
    const arrow::compute::ScalarAggregateKernel &kernel,
    const std::vector<arrow::TypeHolder> &types);
std::unique_ptr<arrow::compute::HashAggregateKernel> casting(
    const arrow::compute::HashAggregateKernel &kernel, const std::vector<arrow::TypeHolder> &types);

} // namespace udfvm

#endif
