"""User-defined functions in micro-VMs, for Python, Arrow and SQL. Every call from Python starts
from a fresh state.

>>> import udfvm
>>> @udfvm.udf
... def score(dep_delay: float, distance: float) -> float | None:
...     return None if distance == 0 else dep_delay / distance * 100
>>> score(12.0, 300.0)
4.0

``udfvm.sqlite`` and ``udfvm.arrow`` register UDFs as SQL functions and as functions of
``pyarrow.compute``. ``udfvm.errors`` has the exceptions. Importing this module loads only what
``udf`` needs, and neither pyarrow nor the core: these are loaded at first use.
"""

from __future__ import annotations

import importlib
import os

from udfvm.call.pool import Pool, PoolStatistics
from udfvm.errors import (
    BuildError,
    BusyError,
    CacheError,
    CallError,
    CallTimeoutError,
    CodeFileError,
    CodeFileNotFoundError,
    DataFileChangedError,
    DataFileError,
    DataFileNotFoundError,
    EngineError,
    Error,
    ForkedError,
    GuestCrashError,
    GuestDeadlockError,
    GuestExitError,
    HardenError,
    HostCallLimitError,
    HostError,
    HostFunctionError,
    ImageError,
    InputTooLargeError,
    JailError,
    KVMPermissionError,
    KVMUnavailableError,
    LogLimitError,
    ObserveError,
    OptionError,
    OutputFileError,
    OutputLimitError,
    PolicyError,
    PoolClosedError,
    ProtocolError,
    SealError,
    SignatureError,
    SourceError,
    SourceNotFoundError,
    SQLConnectionError,
    TypeMappingError,
    UDFError,
    UnknownUDFError,
    UnsafeBackendError,
)
from udfvm.functions.declaring import udf
from udfvm.functions.function import Function, offer_method
from udfvm.functions.scalar import ScalarFunction
from udfvm.installation import get_include
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfvm import arrow, errors, sqlite, wasm
    from udfvm.backend import UnsafeBackendWarning
    from udfvm.call.hardening import harden
    from udfvm.call.hooks import CallHook, on_call
    from udfvm.call.logs import log_calls
    from udfvm.call.reports import CallReport, CallTotals, Statistics, stats
    from udfvm.engines import (
        dask,
        datafusion,
        duckdb,
        flight,
        ibis,
        opentelemetry,
        pandas,
        polars,
        prometheus,
        ray,
        spark,
    )
    from udfvm.functions.aggregate import AggregateFunction, aggregate
    from udfvm.functions.explaining import Explanation
    from udfvm.functions.native import from_c, from_elf
    from udfvm.functions.preparing import prepare
    from udfvm.functions.script import ScriptResult, run
    from udfvm.functions.table import TableFunction, table_function
    from udfvm.functions.text import expression, from_source
    from udfvm.functions.wasm import from_wasm
    from udfvm.observing.server import Observation, observe
    from udfvm.pipelines.progress import FailedRowsWarning, Progress

__version__ = "0.1.0"

__all__ = [
    "AggregateFunction",
    "BuildError",
    "BusyError",
    "CacheError",
    "CallError",
    "CallHook",
    "CallReport",
    "CallTimeoutError",
    "CallTotals",
    "CodeFileError",
    "CodeFileNotFoundError",
    "DataFileChangedError",
    "DataFileError",
    "DataFileNotFoundError",
    "EngineError",
    "Error",
    "Explanation",
    "FailedRowsWarning",
    "ForkedError",
    "Function",
    "GuestCrashError",
    "GuestDeadlockError",
    "GuestExitError",
    "HardenError",
    "HostCallLimitError",
    "HostError",
    "HostFunctionError",
    "ImageError",
    "InputTooLargeError",
    "JailError",
    "KVMPermissionError",
    "KVMUnavailableError",
    "LogLimitError",
    "Observation",
    "ObserveError",
    "OptionError",
    "OutputFileError",
    "OutputLimitError",
    "PolicyError",
    "Pool",
    "PoolClosedError",
    "PoolStatistics",
    "Progress",
    "ProtocolError",
    "SQLConnectionError",
    "ScalarFunction",
    "ScriptResult",
    "SealError",
    "SignatureError",
    "SourceError",
    "SourceNotFoundError",
    "Statistics",
    "TableFunction",
    "TypeMappingError",
    "UDFError",
    "UnknownUDFError",
    "UnsafeBackendError",
    "UnsafeBackendWarning",
    "__version__",
    "aggregate",
    "arrow",
    "dask",
    "datafusion",
    "duckdb",
    "errors",
    "expression",
    "flight",
    "from_c",
    "from_elf",
    "from_source",
    "from_wasm",
    "get_include",
    "harden",
    "ibis",
    "log_calls",
    "observe",
    "on_call",
    "opentelemetry",
    "pandas",
    "polars",
    "prepare",
    "prometheus",
    "ray",
    "run",
    "spark",
    "sqlite",
    "stats",
    "table_function",
    "udf",
    "wasm",
]

#: Modules of ``udfvm.engines`` that are named after their engine or tool alone: ``udfvm.duckdb``.
#: Of each there is also a file ``udfvm/duckdb.py``, which import statements find.
_ENGINES: frozenset[str] = frozenset(
    {
        *("dask", "datafusion", "duckdb", "flight", "ibis", "pandas", "polars", "ray", "spark"),
        *("opentelemetry", "prometheus"),
    }
)
_SUBMODULES = frozenset({"arrow", "errors", "sqlite", "vmm", "wasm"})
_MODULES = {
    "AggregateFunction": "functions.aggregate",
    "CallHook": "call.hooks",
    "CallReport": "call.reports",
    "CallTotals": "call.reports",
    "Explanation": "functions.explaining",
    "FailedRowsWarning": "pipelines.progress",
    "Observation": "observing.server",
    "Progress": "pipelines.progress",
    "ScriptResult": "functions.script",
    "Statistics": "call.reports",
    "TableFunction": "functions.table",
    "UnsafeBackendWarning": "backend",
    "aggregate": "functions.aggregate",
    "expression": "functions.text",
    "from_c": "functions.native",
    "from_elf": "functions.native",
    "from_source": "functions.text",
    "from_wasm": "functions.wasm",
    "harden": "call.hardening",
    "load_ipython_extension": "notebooks",
    "log_calls": "call.logs",
    "observe": "observing.server",
    "on_call": "call.hooks",
    "prepare": "functions.preparing",
    "run": "functions.script",
    "stats": "call.reports",
    "table_function": "functions.table",
    "unload_ipython_extension": "notebooks",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"udfvm.{name}")
    if name in _ENGINES:
        return importlib.import_module(f"udfvm.engines.{name}")
    if name in _MODULES:
        value = globals()[name] = getattr(importlib.import_module(f"udfvm.{_MODULES[name]}"), name)
        return value
    raise AttributeError(f"module 'udfvm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _actor_of_ray(function: Function, /, *columns: str, **options: Any) -> Any:
    """What ``function.ray`` does. The engine's module is imported when it is first used."""
    return __getattr__("ray").actor(function, *columns, **options)


offer_method("ray", _actor_of_ray)

if os.environ.get("UDFVM_OBSERVE") == "1":
    from udfvm.observing.server import observe_by_environment

    observe_by_environment()
