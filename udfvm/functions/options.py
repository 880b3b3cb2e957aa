"""Options that declaring functions take as keywords, written once.

Type checkers, the errors about unknown options, and copies of functions with other options use
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from udfvm.call.pool import Pool
from udfvm.limits import Limits
from udfvm.load.declaration import Isolation
from udfvm.log import Log
from udfvm.static_typing import Any, Final, TypedDict


class Options(TypedDict, total=False):
    """Options of every function. ``udfvm.udf`` documents them."""

    name: str | None
    memory: int | str
    timeout: float | None
    max_output: int | str | None
    max_log: int | str
    log: Log
    deterministic: bool
    pool: Pool | None
    build_timeout: float | None
    data: Mapping[str, str | os.PathLike[str]] | None


class IsolationOption(TypedDict, total=False):
    """The option of functions that return a value for each row."""

    isolation: Isolation


class CallingOptions(Options, total=False):
    """Options of functions that can call functions of the host."""

    host_functions: Iterable[Callable[..., Any]]
    host_calls: int


class HostOptions(CallingOptions, total=False):
    """Options of functions in Python and native code, which can use files of the host, too."""

    files: bool


class PythonOptions(HostOptions, total=False):
    """Options of table functions and aggregates in Python."""

    packages: Iterable[str]


class ScalarPythonOptions(PythonOptions, IsolationOption, total=False):
    """Options of scalar and vectorised functions in Python."""


class NativeOptions(HostOptions, IsolationOption, total=False):
    """Options of functions in native code."""


class WasmOptions(CallingOptions, IsolationOption, total=False):
    """Options of functions in WebAssembly."""


_OF_DECLARATION: Final = "pass it where the function is declared, or register a copy:"
#: The same for registering functions: options of functions.
OF_FUNCTIONS: Final = {
    option: f"{_OF_DECLARATION} function.with_options({option}=...)"
    for option in ScalarPythonOptions.__annotations__
}
_PYTHON: Final = "it is for functions in Python"
_HOSTED: Final = "it is for functions in Python and native code"
_DECLARED: Final = "types of functions in Python are annotated, or in input_types= and output_type="
_SIGNATURE: Final = "types of compiled functions are in signature="
#: What options of some declaring functions are for, for errors of the others.
ELSEWHERE: Final = {
    "files": f"{_HOSTED}, which may read files of installed packages",
    "packages": f"{_PYTHON}, which may import packages",
    "sample": _PYTHON,
    "vectorized": f"{_PYTHON}, which may take columns (vectorized=True of udfvm.udf)",
    "elementwise": "it is for functions of columns: udfvm.udf(vectorized=True), and UDFVM_VECTOR",
    "isolation": "it is for scalar functions, and udfvm.sqlite.register(isolation=...)",
    "input_types": _SIGNATURE,
    "output_type": _SIGNATURE,
    "columns": "it is for table functions (udfvm.table_function)",
    "signature": _DECLARED,
    "flags": "it is for udfvm.from_c",
    "compiler": "it is for udfvm.from_c",
    "args": "it is for programs (udfvm.from_wasm)",
    "env": "it is for compiled functions (udfvm.from_wasm, udfvm.from_elf, udfvm.from_c)",
    "root": "it is for programs (udfvm.from_wasm)",
    "writable": "it is for programs (udfvm.from_wasm)",
    "imports": "it is for modules (udfvm.from_wasm)",
    "modules": "it is for modules (udfvm.from_wasm)",
    "replace": "it is for registering (udfvm.sqlite.register, udfvm.arrow.register)",
    "threads": "it is for map()",
    "on_error": "it is for map()",
}

#: Options that are limits, by their fields in ``Limits``.
_LIMITS: Final = {
    "memory": "memory",
    "timeout": "timeout_ns",
    "max_output": "max_output",
    "max_log": "max_log",
    "log": "log",
    "files": "files",
    "deterministic": "deterministic",
    "host_calls": "host_calls",
    "build_timeout": "build_timeout_ns",
}


def parsed_options(
    name: str, options: Mapping[str, Any], limits: Limits | None = None
) -> dict[str, Any]:
    """Returns options as users write them, with those that are limits merged into one, ``limits``.

    ``limits`` gives the limits that ``options`` does not name; by default these are the defaults.
    Raises OptionError, which names the function, for a limit that makes no sense.
    """
    given = {option: value for option, value in options.items() if option in _LIMITS}
    parsed = Limits.of(name, **given)
    if limits is not None:
        parsed = limits._replace(
            **{_LIMITS[option]: getattr(parsed, _LIMITS[option]) for option in given}
        )
    return {
        **{option: value for option, value in options.items() if option not in _LIMITS},
        "limits": parsed,
    }
