"""Options that declaring functions take as keywords, written once.

Type checkers, the errors about unknown options, and copies of functions with other options use
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypedDict

from udfvm.call.pool import Pool
from udfvm.limits import Limits
from udfvm.load.declaration import Isolation
from udfvm.log import Log


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


class IsolationOption(TypedDict, total=False):
    """The option of functions that return a value for each row."""

    isolation: Isolation


class HostOptions(Options, total=False):
    """Options of functions in Python and native code, which can use files and functions of the
    host.
    """

    files: bool
    host_functions: Iterable[Callable[..., Any]]
    host_calls: int


class PythonOptions(HostOptions, total=False):
    """Options of table functions and aggregates in Python."""

    packages: Iterable[str]


class ScalarPythonOptions(PythonOptions, IsolationOption, total=False):
    """Options of scalar and vectorised functions in Python."""


class NativeOptions(HostOptions, IsolationOption, total=False):
    """Options of functions in native code."""


class WasmOptions(Options, IsolationOption, total=False):
    """Options of functions in WebAssembly."""


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
