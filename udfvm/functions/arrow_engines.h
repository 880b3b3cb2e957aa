// Calls with columns of numbers that an engine hands to Python.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace udfvm
{

extern PyMethodDef engine_methods[];

} // namespace udfvm
