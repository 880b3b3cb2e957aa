"""Stand-ins for micro-VMs: functions that run in this process, and that nothing isolates.

The core has a pool of them for an image as for any other, and asks here for each exchange. The
runtime is that of the guest, imported from the files of the guest. See ``struct udfvm_in_process``
in ``core/api.h``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import time
from _thread import _local
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udfvm.forks import ForkLock
from udfvm.installation import GUEST
from udfvm.protocol import MAX_HOST_MESSAGE, REQUEST_LOAD, ROW_OF_SAMPLE
from udfvm.static_typing import Any, Final
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.callbacks import keep_interruption
from udfvm.vmm.failures import exception, thread_error
from udfvm.vmm.image import Image
from udfvm.vmm.in_process_deadlines import Deadlines
from udfvm.vmm.standard_streams import captured

_AGENT: Final = "_udfvm_agent"
_MAX_HOST_REPLY: Final = 256 << 10  # bytes, as in the guest

_BAD_HOST_CALLS: Final = {
    -1: "there is no such host function: pass it in host_functions=; none can be called while the"
    " image is built, which is when sample= runs",
    -90: "the host function's result is larger than 256 KiB",
    -7: "the arguments of the host function are larger than 16 MiB",
}


class _Call(_local):
    """The exchange that this thread is in.

    Attributes:
        vm: ``udfvm_vm *``; None while code of the program runs, in it or outside of any.
        ended: what ends a call (``_udfvm_in_process.Ended``), once it has ended.
    """

    vm: Any = None


_call: Final = _Call()
_guard: Final = ForkLock()
_payloads: Final[dict[bytes, bytes]] = {}  # of LOAD, by the digest of the image
_kept: Final[dict[str, Deadlines]] = {}
_programs: Final[dict[int, Any]] = {}  # by the address of the VM that is called


def stand_in_image(
    digest: bytes, memory: int, window: int, scratch: int, base: Image | None = None,
    metadata: bytes = b"", payload: bytes = b"",
) -> Image:  # fmt: skip
    """Returns an image without pages, of these sizes. ``payload`` is that of LOAD, of a layer."""
    config = {
        "memory": memory, "input_window": window, "output_window": window, "scratch": scratch,
    }  # fmt: skip
    error = thread_error()
    handle = lib.udfvm_image_in_process(
        ffi.addressof(lib, "udfvm_python_in_process"),
        ffi.new("struct udfvm_config *", config),
        digest,
        ffi.NULL if base is None else base._handle,
        metadata,
        len(metadata),
        error,
    )
    if not handle:
        raise exception(error)
    if base is not None:
        _payloads[digest] = payload
    image = Image(handle, base)
    image.in_process = True
    return image


# ---- The runtime ----


class _GuestFinder:
    """Finds the modules of the runtime among the files of the guest."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("_udfvm_"):
            return None
        return importlib.util.spec_from_file_location(name, _file_of(name))


def _file_of(name: str) -> str:
    if name == _AGENT:
        return str(GUEST / f"_udfvm_in_process{sysconfig.get_config_var('EXT_SUFFIX')}")
    return str(GUEST / f"{name}.py")


def _runtime() -> Any:
    """Returns ``_udfvm_in_process`` of the runtime, which is imported at the first use."""
    found = sys.modules.get("_udfvm_in_process")
    if found is None:
        with _guard.lock:
            if _GuestFinder not in sys.meta_path:
                sys.meta_path.append(_GuestFinder)
            importlib.import_module(_AGENT).ask_host = _ask_host  # type: ignore[attr-defined]
            found = importlib.import_module("_udfvm_in_process")
    return found


def _deadlines() -> Deadlines:
    """Returns the deadlines of this process: those of its parent are not its own."""
    found = _kept.get("deadlines")
    if found is None or found.process != os.getpid():
        with _guard.lock:
            found = _kept["deadlines"] = Deadlines(sys.modules[_AGENT], _runtime().Ended)
    return found


# ---- Exchanges ----


class _Program:
    """A loaded function, until its call has ended."""

    def __init__(self, data: bytes, *, first: bool) -> None:
        runtime = _runtime()
        self._failures = runtime.Failures()
        with _guard.lock:  # it notes host functions by their names alone
            self._loaded = runtime.load(data, self._failures, first=first)
        self._first = True

    def answer(self) -> tuple[int, int]:
        """Answers the request in the window: status and length of the reply. Raises what ended the
        call.
        """
        first, self._first = self._first, False
        status, length = self._loaded.answer(first)
        ended, self._failures.ended = self._failures.ended, None
        if ended is not None:
            raise ended
        return status, length


def _load(call: Any) -> None:
    """Answers LOAD, of a function that is new: it runs on its sample."""
    call.end_ns = call.load_end_ns
    data = bytes(sys.modules[_AGENT].input())
    warmup = importlib.import_module("_udfvm_warmup")
    try:
        _Program(data, first=True)
    except warmup.SampleError as error:
        call.status, call.length = _report(error.__cause__ or error, ROW_OF_SAMPLE)
    except Exception as error:  # noqa: BLE001 - loading runs the user's code
        call.status, call.length = _report(error, -1)
    else:
        call.sealed = 1


def _report(error: BaseException, row: int) -> tuple[int, int]:
    status, length = importlib.import_module("_udfvm_report").report(error, row)
    return status, length


def _answer(call: Any) -> None:
    key = int(ffi.cast("uintptr_t", call.vm))
    program = _programs.get(key)
    if program is None:
        began = time.monotonic_ns()
        try:
            program = _Program(_payloads[bytes(ffi.buffer(call.image, 32))], first=False)
        except Exception as error:  # noqa: BLE001 - loading runs the user's code
            call.status, call.length = _report(error, -1)
            return
        _programs[key] = program
        call.end_ns = min(call.end_ns + time.monotonic_ns() - began, call.load_end_ns)
        _deadlines().change(call.end_ns)
    elif call.load_end_ns > call.end_ns:
        _deadlines().change(call.end_ns)
    call.status, call.length = program.answer()


def _interrupted(_kind: object, exception: BaseException, _traceback: object) -> int:
    keep_interruption(exception)
    return 1


@ffi.def_extern(onerror=_interrupted)
def udfvm_python_answer(_context: Any, call: Any) -> int:
    runtime = _runtime()
    answer = _load if call.request == REQUEST_LOAD else _answer
    addresses = [int(ffi.cast("uintptr_t", each)) for each in (call.input, call.output)]
    deadlines = _deadlines()
    end = deadlines.watched(call.end_ns, call.load_end_ns)
    with _in_call(call.vm), captured(_print):
        try:
            agent = sys.modules[_AGENT]
            agent.within(*addresses, functools.partial(answer, call), deadlines.ends, end)
        except runtime.Ended:
            pass  # the core knows why
    return 0


@ffi.def_extern()
def udfvm_python_forget(_context: Any, vm: Any) -> None:
    _programs.pop(int(ffi.cast("uintptr_t", vm)), None)


@contextmanager
def _in_call(vm: Any) -> Iterator[None]:
    outer, _call.vm = _call.vm, vm
    try:
        yield
    finally:
        _call.vm = outer


# ---- What the function asks the host for ----


def _ask_host(name: bytes, arguments: bytes) -> bytes | str:
    """Calls a host function. Returns its reply, or why there is none."""
    vm = _call.vm
    if vm is None:
        return (
            "a host function is called by the thread of the call alone, with"
            " UDFVM_BACKEND=unsafe-inprocess"
        )
    if len(arguments) > MAX_HOST_MESSAGE:
        return _BAD_HOST_CALLS[-7]
    reply = ffi.new("char[]", _MAX_HOST_REPLY)
    with _in_call(None):
        call = functools.partial(
            lib.udfvm_in_process_host_call,
            vm, name, arguments, len(arguments), reply, _MAX_HOST_REPLY,
        )  # fmt: skip
        length = sys.modules[_AGENT].outside(call, _deadlines().ends)
    if length == -2:  # UDFVM_HOST_FUNCTION_FAILED
        raise _runtime().Ended
    if length < 0:
        return _BAD_HOST_CALLS.get(length, "the host function cannot be called")
    return bytes(ffi.buffer(reply, length))


def _print(stream: int) -> Callable[[bytes], None] | None:
    """Returns what takes the text that this thread writes to a stream; None outside of calls."""
    vm = _call.vm
    if vm is None:
        return None

    def take(text: bytes) -> None:
        if lib.udfvm_in_process_print(vm, stream, text, len(text)):
            raise _runtime().Ended

    return take
