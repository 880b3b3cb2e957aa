// Calls for the batches of a scan: after an error, the rest of them end at once.
#pragma once

#include <arrow/compute/kernel.h>
#include <arrow/status.h>

namespace udfvm
{

// Once, before all others.
void begin_scans();

// A kernel that does what another does, and knows of the errors of its scan.
arrow::compute::ScalarKernel in_scans(arrow::compute::ScalarKernel kernel);

// The kernel that `in_scans` was given; else the kernel itself.
const arrow::compute::ScalarKernel &without_scans(const arrow::compute::ScalarKernel &kernel);

// Ends the scans that the main thread waits for by an error, which is kept for them. False: there
// is none. With the interpreter's lock, as the next three.
bool interrupt_scans(arrow::Status status);

// Whether one of them makes a call.
bool scans_of_main_run();

// Whether one of them has the error, and has not raised it.
bool is_interrupting();

// Keeps the error no longer.
void end_interrupt();

// What says, by another value than 0, that the call that this thread makes is to end. Null: it is
// part of no scan.
int *end_of_call();

} // namespace udfvm
