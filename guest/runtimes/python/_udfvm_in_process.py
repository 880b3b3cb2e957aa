"""Loads functions in the program's own process, where there is no micro-VM.

What a micro-VM needs is left out: modules and files of the program are here, and nothing is sealed.
A call begins with a function that is unpickled anew, so what its globals, its closure and its
classes hold is as it was when it was pickled. Modules that it imports are those of the program.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
import _udfvm_host
import _udfvm_warmup
from _udfvm_report import report
from _udfvm_runtime import LOADERS, Payload, import_quietly

# Functions of cloudpickle that make classes: the last argument but one names the class, of which
# the process would have one alone.
_MAKES_CLASSES: Final = ("_make_skeleton_class", "_make_skeleton_enum")

_udfvm_warmup.RUNS = 1  # no image is to have what more runs set up


class _Unpickler(pickle.Unpickler):
    """Makes a new class of each that was pickled by value: the program's own keeps its state."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module.partition(".")[0] == "cloudpickle" and name in _MAKES_CLASSES:
            return lambda *arguments: found(*arguments[:-2], None, arguments[-1])
        return found


class Failures:
    """Reports exceptions as replies, but for those that end the call itself."""

    def __init__(self) -> None:
        self.ended: BaseException | None = None

    def report(self, exception: BaseException, row: int = -1) -> tuple[int, int]:
        """Writes the report. Returns status and length of the reply."""
        if isinstance(exception, (KeyboardInterrupt, Ended)):
            self.ended = exception
        return report(exception, row)


class Ended(BaseException):
    """The host has ended the call: a host function failed, or too much was printed. It is no
    ``Exception``, so few functions catch it.
    """


def _host_call(name: bytes, arguments: bytes) -> bytes:
    """``host_call`` of the agent. Tracebacks have no frames of this file."""
    answer: bytes | str = vars(_udfvm_agent)["ask_host"](name, arguments)
    if isinstance(answer, str):
        raise RuntimeError(f"{name.decode()}: {answer}")
    return answer


_udfvm_agent.host_call = _host_call


def load(data: bytes, failures: Failures, *, first: bool) -> Any:
    """Returns the program that answers the requests of a function, ``_udfvm_agent.Program``.

    ``first``: it is to run on its sample. Raises what loading raises, and SampleError.
    """
    payload = Payload.parse(data)
    if not first:
        payload = payload._replace(sample=b"", metadata={**payload.metadata, "sample_row": ""})
    if payload.metadata["host_functions"]:
        _udfvm_host.install(payload.metadata["host_functions"])
    for name in payload.metadata["imports"]:
        import_quietly(name)
    if "pyarrow" in sys.modules:
        import _udfvm_vectorized  # noqa: F401 - as the base image has it
    function: Callable[..., Any] = _Unpickler(io.BytesIO(payload.function)).load()
    native, stream, handler = LOADERS[payload.metadata["form"]](function, payload)
    serve: Any = _udfvm_agent.serve
    return serve(native, stream, handler, failures.report, None)
