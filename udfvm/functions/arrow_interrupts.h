// Ctrl-C while the main thread waits for a scan, where no Python code runs that would notice it.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace udfvm
{

bool is_main_thread();

// Says that another thread makes a call of a scan that the main thread waits for.
void call_for_main();

// For udfvm/functions/arrow_interrupts.py.
extern PyMethodDef interrupt_methods[];

} // namespace udfvm
