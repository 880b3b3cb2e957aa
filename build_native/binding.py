"""Generates the C source of ``udfvm.vmm._core``, the binding of the core with cffi (API mode).

The declarations come from the headers themselves, so the two cannot drift apart.

Usage: binding.py api.h udfvm_abi.h target
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

CALLBACKS = """
extern "Python" int udfvm_python_interrupted(void);
extern "Python" int64_t udfvm_python_open(void *, const char *, struct udfvm_stat *);
extern "Python" int64_t udfvm_python_stat(void *, const char *, int, struct udfvm_stat *);
extern "Python" int64_t udfvm_python_read(void *, int64_t, uint64_t, void *, uint64_t);
extern "Python" int64_t udfvm_python_close(void *, int64_t);
extern "Python" int64_t udfvm_python_list(void *, const char *, uint64_t, void *, uint64_t);
extern "Python" int64_t udfvm_python_readlink(void *, const char *, char *, uint64_t);
extern "Python" int64_t udfvm_python_host_call(void *, const char *, const void *, uint64_t, void *,
                                               uint64_t, char *);
extern "Python" int udfvm_python_log(void *, const struct udfvm_log *, int, char *);
extern "Python" int udfvm_python_answer(void *, struct udfvm_in_process_call *);
extern "Python" void udfvm_python_forget(void *, udfvm_vm *);
struct udfvm_in_process udfvm_python_in_process;
extern "Python" int udfvm_python_report(uint64_t, const struct udfvm_call_report *);
void udfvm_python_report_beside(uint64_t, const struct udfvm_call_report *);
extern "Python" int udfvm_python_vm(const struct udfvm_vm_notice *);
void udfvm_python_vm_beside(const struct udfvm_vm_notice *);
int udfvm_python_log_beside(void *, const struct udfvm_log *, int, char *);
int64_t udfvm_python_close_beside(void *, int64_t);
int udfvm_python_interrupted_beside(void);
int udfvm_python_cancelled(void *);
void free(void *);
"""

# A call may end because Python raised, for example in a progress handler of SQLite, and SQLite ends
# the statement before the program gets that exception. No other Python code must see it: not what
# takes the call's output, closes its files, and looks for signals meanwhile.
BESIDE = """
static int udfvm_python_log(void *, const struct udfvm_log *, int, char *);
static int64_t udfvm_python_close(void *, int64_t);
static int udfvm_python_interrupted(void);
static int udfvm_python_answer(void *, struct udfvm_in_process_call *);
static void udfvm_python_forget(void *, udfvm_vm *);
static int udfvm_python_report(uint64_t, const struct udfvm_call_report *);
static int udfvm_python_vm(const struct udfvm_vm_notice *);

struct pending {
    PyGILState_STATE state;
    PyObject *type, *value, *traceback;
};

static struct pending set_aside(void)
{
    struct pending pending = { .state = PyGILState_Ensure() };
    PyErr_Fetch(&pending.type, &pending.value, &pending.traceback);
    return pending;
}

static void put_back(struct pending pending)
{
    PyErr_Restore(pending.type, pending.value, pending.traceback);
    PyGILState_Release(pending.state);
}

static int udfvm_python_log_beside(void *context, const struct udfvm_log *log, int failed,
                                   char *failure)
{
    const struct pending pending = set_aside();
    const int taken = udfvm_python_log(context, log, failed, failure);
    put_back(pending);
    return taken;
}

static int64_t udfvm_python_close_beside(void *context, int64_t handle)
{
    const struct pending pending = set_aside();
    const int64_t closed = udfvm_python_close(context, handle);
    put_back(pending);
    return closed;
}

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

static void udfvm_python_forget_beside(void *context, udfvm_vm *vm)
{
    if (Py_IsFinalizing()) /* what is to be forgotten goes anyway */
        return;
    const struct pending pending = set_aside();
    udfvm_python_forget(context, vm);
    put_back(pending);
}

/* Ctrl-C in a hook is the program's: its handler runs again, once the call has returned. */
static void udfvm_python_report_beside(uint64_t label, const struct udfvm_call_report *report)
{
    if (Py_IsFinalizing())
        return;
    const struct pending pending = set_aside();
    const int interrupted = udfvm_python_report(label, report);
    if (interrupted)
        PyErr_SetInterrupt();
    put_back(pending);
}

static void udfvm_python_vm_beside(const struct udfvm_vm_notice *notice)
{
    if (Py_IsFinalizing())
        return;
    const struct pending pending = set_aside();
    const int interrupted = udfvm_python_vm(notice);
    if (interrupted)
        PyErr_SetInterrupt();
    put_back(pending);
}

/* Images refer to it for as long as the process lives: there is no order at its end. */
static struct udfvm_in_process udfvm_python_in_process = {
    NULL, udfvm_python_answer, udfvm_python_forget_beside
};

static int udfvm_python_interrupted_beside(void)
{
    const struct pending pending = set_aside();
    const int interrupted = udfvm_python_interrupted();
    put_back(pending);
    return interrupted;
}
"""

# Runs while a call does, on a thread that does not have the interpreter's lock.
CANCELLED = """
static int udfvm_python_cancelled(void *flag)
{
    return __atomic_load_n((const int *)flag, __ATOMIC_RELAXED);
}
"""


def without_preprocessor(text: str) -> str:
    """Returns the declarations of a header without the preprocessor lines that cffi cannot read."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _structures(abi: str, *names: str) -> str:
    """Returns definitions of structures of the ABI header, with numbers for array sizes."""
    constants = dict(re.findall(r"#define (UDFVM_\w+) +(\d+)\b", abi))
    text = without_preprocessor(abi)
    found = []
    for name in names:
        match = re.search(rf"struct {name} \{{.*?^\}};", text, flags=re.DOTALL | re.MULTILINE)
        if match is None:
            raise LookupError(f"struct {name} is not in the ABI header")
        found.append(re.sub(r"\bUDFVM_\w+", lambda constant: constants[constant[0]], match[0]))
    return "\n".join(found)


def declarations(api: str, abi: str) -> str:
    """Returns the C interface for cffi, from the texts of the two headers."""
    shared = ("udfvm_stat", "udfvm_seal_info")
    interface = without_preprocessor(api)
    for structure in shared:
        interface = interface.replace(f"struct {structure};", "")
    return _structures(abi, *shared) + interface + CALLBACKS


def main(api: str, abi: str, target: str) -> None:
    builder = cffi.FFI()
    builder.cdef(declarations(Path(api).read_text(), Path(abi).read_text()))
    builder.set_source(
        "udfvm.vmm._core",
        '#include <stdlib.h>\n#include "udfvm_abi.h"\n#include "api.h"\n' + BESIDE + CANCELLED,
    )
    builder.emit_c_code(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
