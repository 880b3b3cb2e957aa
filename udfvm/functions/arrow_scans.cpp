// See arrow_scans.h.
//
// A plan of Acero has begun many batches when the first of them fails, and calls its functions for
// each of these. A kernel learns nothing of the plan, but that all its calls have one ExecContext,
// which belongs to it. The error is kept by the plan until it ends, so another plan at the same
// address is told apart: nobody has the error of the first any more.
#include "arrow_scans.h"
#include "arrow_interrupts.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <pthread.h>

#include <arrow/compute/exec.h>
#include <arrow/status.h>

namespace compute = arrow::compute;
using arrow::Status;

namespace udfvm
{

namespace
{

// An error, as long as Arrow keeps it.
struct Failure {
    arrow::StatusCode code;
    std::string message;
    std::weak_ptr<arrow::StatusDetail> detail;
};

struct Scan {
    int calls = 0;           // under way
    bool is_of_main = false; // the main thread waits for it
    int end = 0; // 1: they are to end; read without the lock, by threads that wait for VMs
    std::vector<Failure> failures;

    bool failed() const
    {
        return std::any_of(failures.begin(), failures.end(),
                           [](const auto &each) { return !each.detail.expired(); });
    }

    // OK: nothing failed, as far as Arrow remembers.
    Status failure() const
    {
        for (const auto &each : failures)
            if (auto detail = each.detail.lock())
                return Status(each.code, each.message, std::move(detail));
        return Status::OK();
    }
};

using Context = const compute::ExecContext *;

std::mutex lock;
std::unordered_map<Context, std::shared_ptr<Scan>> scans;
thread_local Scan *scan_of_thread;

// Drops what ended plans left. Under the lock no error is dropped: that takes the interpreter's.
void tidy()
{
    std::erase_if(
        scans, [](const auto &each) { return each.second->calls == 0 && !each.second->failed(); });
}

// A forked child begins without scans, whatever thread had the lock.
void forget_in_children()
{
    pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); },
                   [] {
                       scans.clear();
                       lock.unlock();
                   });
}

// What interrupts scans, until they have it.
Status interruption;

// One call for a batch.
class Call
{
  public:
    Call(Context context, bool is_of_main)
        : context_(context), is_of_main_(is_of_main), outer_(scan_of_thread)
    {
    }

    ~Call()
    {
        scan_of_thread = outer_;
    }

    // Returns the error of a batch before.
    Status begin()
    {
        if (context_ == compute::default_exec_context()) {
            scan_of_thread = nullptr; // all callers that name no other share it
            return Status::OK();
        }
        if (is_of_main_)
            call_for_main();
        std::lock_guard guard(lock);
        tidy();
        auto &scan = scans[context_];
        if (!scan)
            scan = std::make_shared<Scan>();
        ARROW_RETURN_NOT_OK(scan->failure());
        scan->is_of_main |= is_of_main_;
        ++scan->calls;
        scan_ = scan;
        scan_of_thread = scan.get();
        return Status::OK();
    }

    // Returns the status of the call, or the error that it was ended by.
    Status end(const Status &status)
    {
        if (!scan_)
            return status;
        std::lock_guard guard(lock);
        --scan_->calls;
        if (status.ok())
            return status;
        auto first = scan_->failure();
        if (!first.ok())
            return first;
        if (status.detail())
            scan_->failures.push_back({ status.code(), status.message(), status.detail() });
        std::atomic_ref(scan_->end).store(1);
        return status;
    }

  private:
    Context context_;
    bool is_of_main_;
    Scan *outer_; // of the call that this one is part of
    std::shared_ptr<Scan> scan_;
};

struct InScans : public compute::KernelState {
    explicit InScans(compute::ScalarKernel kernel) : kernel(std::move(kernel))
    {
    }
    compute::ScalarKernel kernel;
};

// Of a function in an expression, from when the scan is put together.
struct State : public compute::KernelState {
    bool is_of_main = is_main_thread();
    std::unique_ptr<compute::KernelState> inner;
};

Status execute(compute::KernelContext *context, const compute::ExecSpan &batch,
               compute::ExecResult *out)
{
    const auto &kernel = static_cast<const InScans &>(
                             *static_cast<const compute::ScalarKernel *>(context->kernel())->data)
                             .kernel;
    compute::KernelContext inner(context->exec_context(), &kernel);
    auto *state = static_cast<State *>(context->state());
    inner.SetState(state->inner.get());
    Call call(context->exec_context(), state->is_of_main && !is_main_thread());
    ARROW_RETURN_NOT_OK(call.begin());
    return call.end(kernel.exec(&inner, batch, out));
}

} // namespace

compute::ScalarKernel in_scans(compute::ScalarKernel kernel)
{
    compute::ScalarKernel made = kernel;
    made.exec = execute;
    made.init = [init = kernel.init](compute::KernelContext *context,
                                     const compute::KernelInitArgs &arguments)
        -> arrow::Result<std::unique_ptr<compute::KernelState>> {
        auto state = std::make_unique<State>();
        if (init) {
            ARROW_ASSIGN_OR_RAISE(state->inner, init(context, arguments));
        }
        return state;
    };
    made.data = std::make_shared<InScans>(std::move(kernel));
    return made;
}

const compute::ScalarKernel &without_scans(const compute::ScalarKernel &kernel)
{
    const auto *made = dynamic_cast<const InScans *>(kernel.data.get());
    return made ? made->kernel : kernel;
}

void begin_scans()
{
    static std::once_flag once;
    std::call_once(once, forget_in_children);
}

bool interrupt_scans(Status status)
{
    bool found = false;
    std::lock_guard guard(lock);
    for (const auto &[context, scan] : scans) {
        if (!scan->is_of_main || scan->failed())
            continue;
        scan->failures.push_back({ status.code(), status.message(), status.detail() });
        std::atomic_ref(scan->end).store(1);
        found = true;
    }
    interruption = std::move(status);
    return found;
}

bool scans_of_main_run()
{
    std::lock_guard guard(lock);
    return std::any_of(scans.begin(), scans.end(), [](const auto &each) {
        return each.second->is_of_main && each.second->calls > 0;
    });
}

bool is_interrupting()
{
    return interruption.detail().use_count() > 1;
}

void end_interrupt()
{
    interruption = Status::OK();
}

int *end_of_call()
{
    return scan_of_thread ? &scan_of_thread->end : nullptr;
}

} // namespace udfvm
