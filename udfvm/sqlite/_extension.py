"""The C extension as Python sees it: offers a list of functions to the entry point that runs in a
connection.

Mirrors ``extension.h``; a mismatch of the two is caught by the sizes in the offer.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import cffi

from udfvm import errors
from udfvm.codec.guest_text import visible
from udfvm.limits import Limits
from udfvm.types.arrow_types import RowType

PATH: Final = Path(__file__).with_name("udfvm_sqlite.so")
ENTRY_POINT: Final = "sqlite3_udfvmsqlite_init"

_ffi: Final = cffi.FFI()
_ffi.cdef("""
    struct udfvm_limits {
        uint64_t timeout_ns, max_output, max_log; int files, deterministic;
        const void *host_functions;
        const void *log_sink; int strict_log;
    };
    struct udfvm_sqlite_parameter {
        const char *name; uint32_t type; uint32_t nullable;
        const void *fallback; uint64_t fallback_length;
        uint64_t single;
    };
    struct udfvm_sqlite_column { const char *name; uint32_t type; };
    struct udfvm_sqlite_function {
        const char *name;
        void *pool;
        void *image;
        const struct udfvm_sqlite_parameter *parameters;
        uint32_t parameter_count;
        uint32_t result_type;
        uint32_t isolation;
        uint32_t flags;
        struct udfvm_limits limits;
        uint64_t wait_ns;
        uint32_t pool_limit;
        uint32_t role;
        const struct udfvm_sqlite_column *columns;
        uint32_t column_count;
        uint32_t kind;
    };
    struct udfvm_sqlite_runtime { uint32_t kind; uint32_t pool_limit; void *pool; void *base; };
    struct udfvm_sqlite_policy {
        uint32_t kinds;
        uint32_t allow_create;
        uint64_t max_source;
        struct udfvm_limits limits;
        uint64_t load_timeout_ns;
        uint64_t statement_timeout_ns;
        uint32_t idle_spin_us;
    };
    struct udfvm_sqlite_renewal {
        void *pool; void *image; uint32_t pool_limit; char message[480];
    };
    struct udfvm_sqlite_failure {
        const char *function; const char *text; const char *detail; int64_t row;
        const void *report; uint64_t report_length;
        const void *error; uint32_t cause; uint32_t position; const char *argument;
    };
    struct udfvm_sqlite_exception { void *type, *value; };
    struct udfvm_sqlite_offer {
        size_t size;
        size_t function_size;
        const struct udfvm_sqlite_function *functions;
        size_t count;
        void (*release)(uint64_t owner);
        uint64_t owner;
        int (*enter)(void);
        void (*raise)(void *exception);
        void (*leave)(int state);
        void *exception;
        int (*failed)(const struct udfvm_sqlite_failure *failure,
                      struct udfvm_sqlite_exception *exception);
        void *(*pending)(void);
        void (*restore)(void *type, void *value, void *traceback);
        const struct udfvm_sqlite_policy *policy;
        const struct udfvm_sqlite_runtime *runtimes;
        size_t runtime_count;
        int (*renew)(uint64_t owner, const char *name, struct udfvm_sqlite_renewal *renewal);
    };
    int udfvm_sqlite_set_offer(const struct udfvm_sqlite_offer *offer);
    """)


class Isolation(enum.IntEnum):
    """``enum udfvm_sqlite_isolation``."""

    STATEMENT = 1
    ROW = 2


class Role(enum.IntEnum):
    """``enum udfvm_sqlite_role``."""

    SCALAR = 0
    VECTORIZED = 1
    TABLE = 2
    AGGREGATE = 3


class Cause(enum.IntEnum):
    """``enum udfvm_sqlite_cause``."""

    REPORTED = 0
    TIMEOUT = 1
    TYPE = 2
    PROTOCOL = 3
    INPUT = 4
    BUILD = 5
    SIGNATURE = 6
    UNKNOWN = 7
    OTHER = 8


_IN_CALLS: Final[dict[int, type[errors.CallError]]] = {
    Cause.TIMEOUT: errors.CallTimeoutError,
    Cause.PROTOCOL: errors.ProtocolError,
    Cause.INPUT: errors.InputTooLargeError,
}
_BEFORE_CALLS: Final[dict[int, type[errors.Error]]] = {
    Cause.TYPE: errors.TypeMappingError,
    Cause.BUILD: errors.BuildError,
    Cause.SIGNATURE: errors.SignatureError,
    Cause.UNKNOWN: errors.UnknownUDFError,
    Cause.OTHER: errors.Error,
}


class Flag(enum.IntFlag):
    """``enum udfvm_sqlite_flag``."""

    DETERMINISTIC = 1
    IN_SCHEMA = 2
    JSON_RESULT = 4
    INVERSE = 8
    WHOLE = 16


class Kind(enum.IntFlag):
    """``enum udfvm_sqlite_kind``."""

    PYTHON = 1
    WASM = 2
    NATIVE = 4


@dataclass(frozen=True)
class Parameter:
    """``struct udfvm_sqlite_parameter``. ``fallback`` is the default, encoded as a value of a row;
    None: there is none. ``single``: of 32 bits, a float.
    """

    name: str
    type: RowType
    nullable: bool
    fallback: bytes | None = None
    single: bool = False


@dataclass(frozen=True)
class Column:
    """``struct udfvm_sqlite_column``."""

    name: str
    type: RowType


class Renewal(NamedTuple):
    """``struct udfvm_sqlite_renewal``: addresses of what runs a function from now on."""

    pool: int
    image: int
    pool_limit: int


@dataclass(frozen=True)
class Function:
    """``struct udfvm_sqlite_function``. ``pool``, ``image``, ``host_functions`` and ``log_sink``
    (0: none) are addresses; ``owner`` is whatever must outlive the function.
    """

    name: str
    pool: int
    image: int
    parameters: tuple[Parameter, ...]
    result_type: RowType
    isolation: Isolation
    flags: Flag
    limits: Limits
    wait_ns: int
    pool_limit: int
    role: Role
    columns: tuple[Column, ...]
    kind: Kind
    owner: object
    host_functions: int = 0
    log_sink: int = 0
    renew: Callable[[], Renewal | None] | None = None


@dataclass(frozen=True)
class Runtime:
    """``struct udfvm_sqlite_runtime``. ``pool`` and ``base`` are addresses; ``owner`` is whatever
    must outlive it.
    """

    kind: Kind
    pool: int
    base: int
    pool_limit: int
    owner: object


@dataclass(frozen=True)
class Policy:
    """``struct udfvm_sqlite_policy``."""

    kinds: Kind
    allow_create: bool
    max_source: int
    limits: Limits
    load_timeout_ns: int
    statement_timeout_ns: int
    idle_spin_us: int
    log_sink: int


class _Owner(NamedTuple):
    """What an offer keeps alive, and by name what says how a function runs now."""

    objects: list[object]
    renewals: dict[str, Callable[[], Renewal | None]]


# What connections in C still use, by the number that the extension knows it by.
_owners: Final[dict[int, _Owner]] = {}
_owner_numbers: Final = itertools.count(1)
# A bound method of a built-in type: it works even while modules are being torn down, when
# connections are closed by the collector.
_release: Final = _ffi.callback("void(uint64_t)", _owners.__delitem__)
# For the same reason it must never be freed.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_release))


class _Renewals(threading.local):
    """Why a function could not be renewed: for whoever makes the exception of the statement, a
    moment later.
    """

    text: str = ""
    failure: BaseException | None = None


_renewals: Final = _Renewals()


def _take_renewal_failure(text: str) -> BaseException | None:
    failure, _renewals.failure = _renewals.failure, None
    return failure if text == _renewals.text else None


def _answer_renewal(number: int, name: Any, renewal: Any) -> int:
    """How a function of an offer runs from now on; see ``struct udfvm_sqlite_offer``."""
    ask = _owners[number].renewals.get(_ffi.string(name).decode())
    _renewals.failure = None
    try:
        found = ask() if ask is not None else None
    except BaseException as error:  # noqa: BLE001 - Ctrl-C too: whatever keeps the image from being built ends the statement
        text = (str(error) or type(error).__name__).encode("utf-8", "backslashreplace")[:479]
        _renewals.text, _renewals.failure = (
            text.decode("utf-8", "ignore"),
            error.with_traceback(None),
        )
        renewal.message = _renewals.text.encode()
        return -1
    if found is None:
        return 0
    renewal.pool = _ffi.cast("void *", found.pool)
    renewal.image = _ffi.cast("void *", found.image)
    renewal.pool_limit = found.pool_limit
    return 1


_renew: Final = _ffi.callback(
    "int(uint64_t, const char *, struct udfvm_sqlite_renewal *)", _answer_renewal, error=-1
)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_renew))  # as _release


def _failure_callback(wrap: Callable[[str], Exception] | None) -> Any:
    """What answers the extension that a call failed. ``wrap`` makes the exception of an SQL error
    with that text; without it an SQL error is all, but for the program's own exceptions.
    """

    def failed(failure: Any, made: Any) -> int:
        exception = exception_of(failure)
        if wrap is None and failure.text and isinstance(exception, Exception):
            return 0
        if (
            wrap is not None and failure.text and isinstance(exception, Exception)
        ):  # others are the program's own
            cause, exception = exception, wrap(visible(_ffi.string(failure.text)))
            exception.__cause__ = cause
        for place, value in (("type", type(exception)), ("value", exception)):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
            setattr(made, place, _ffi.cast("void *", id(value)))
        return 1

    return _ffi.callback(
        "int(const struct udfvm_sqlite_failure *, struct udfvm_sqlite_exception *)", failed, error=0
    )


def exception_of(failure: Any) -> BaseException:
    """What a call in Python would have raised."""
    from udfvm import vmm
    from udfvm.codec import guest_error

    udf, row = _text(failure.function), None if failure.row < 0 else int(failure.row)
    if failure.cause in _IN_CALLS:
        return guest_error.add_output(_IN_CALLS[failure.cause](_text(failure.detail), udf, row))
    if failure.cause in _BEFORE_CALLS:
        return _before_call(failure, row)
    if failure.error:
        renewal = _take_renewal_failure(_text(failure.detail)) if failure.detail else None
        return renewal or vmm.exception_at(int(_ffi.cast("uintptr_t", failure.error)), udf, row)
    length = failure.report_length
    report = (
        guest_error.excerpt(memoryview(_ffi.buffer(failure.report, length)).toreadonly())
        if length
        else b""
    )
    exception = guest_error.parse(report, udf, rows=0)
    exception.locate(row)
    return exception


def _text(characters: Any) -> str:
    return str(_ffi.string(characters).decode("utf-8", "replace"))


def _before_call(failure: Any, row: int | None) -> Exception:
    exception = _BEFORE_CALLS[failure.cause](visible(_ffi.string(failure.text)))
    if isinstance(exception, errors.TypeMappingError):
        exception.row = row
        if failure.position:
            exception.position, exception.argument = int(failure.position), _text(failure.argument)
    return exception


def _apsw_error(text: str) -> Exception:
    """An error of SQL as apsw raises it."""
    import apsw

    error: Any = apsw.SQLError(text)
    error.result = error.extendedresult = int(apsw.SQLITE_ERROR)
    error.error_offset = -1
    return error


# Never freed, as _release.
_failed_in_apsw: Final = _failure_callback(_apsw_error)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_failed_in_apsw))
_failed_elsewhere: Final = _failure_callback(None)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_failed_elsewhere))


def offer(
    functions: Sequence[Function],
    policy: Policy | None,
    runtimes: Sequence[Runtime],
    load: Callable[[], None],
    *,
    to_apsw: bool = False,
) -> None:
    """Runs ``load``, which must load the extension into a connection on this thread, with
    ``functions`` on offer to it.

    ``policy`` None leaves the connection's policy as it is. ``to_apsw``: the connection is apsw's,
    which raises an exception that is pending in place of the error that SQLite reports.

    Raises what ``load`` raises; the functions are then not defined.
    """
    library: Any = _ffi.dlopen(str(PATH))
    keep: list[object] = []
    number = next(_owner_numbers)
    _owners[number] = _Owner(
        [*(function.owner for function in functions), *(runtime.owner for runtime in runtimes)],
        {function.name: function.renew for function in functions if function.renew is not None},
    )
    array = _ffi.new(
        "struct udfvm_sqlite_function[]", [_function(function, keep) for function in functions]
    )
    runtime_array = _ffi.new(
        "struct udfvm_sqlite_runtime[]", [_runtime(runtime) for runtime in runtimes]
    )
    policy_structure = _policy(policy)
    offered = _ffi.new(
        "struct udfvm_sqlite_offer *",
        {
            "size": _ffi.sizeof("struct udfvm_sqlite_offer"),
            "function_size": _ffi.sizeof("struct udfvm_sqlite_function"),
            "functions": array,
            "count": len(functions),
            "release": _release,
            "owner": number,
            **_interrupt(),
            **_failures(_failed_in_apsw if to_apsw else _failed_elsewhere),
            "policy": policy_structure,
            "runtimes": runtime_array,
            "runtime_count": len(runtimes),
            "renew": _renew,
        },
    )
    library.udfvm_sqlite_set_offer(offered)
    try:
        load()
    finally:
        if library.udfvm_sqlite_set_offer(_ffi.NULL):
            del _owners[number]


def _address(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _failures(failed: Any) -> dict[str, Any]:
    """Python's part in a failed call: a pending exception with the error of the call as its
    cause.
    """
    return {
        "failed": failed,
        "pending": _ffi.cast("void *(*)(void)", _address("PyErr_Occurred")),
        "restore": _ffi.cast("void (*)(void *, void *, void *)", _address("PyErr_Restore")),
    }


def _interrupt() -> dict[str, Any]:
    """Python's part in an interrupted call: a pending KeyboardInterrupt, which goes before apsw's
    own InterruptError.
    """
    return {
        "enter": _ffi.cast("int (*)(void)", _address("PyGILState_Ensure")),
        "raise": _ffi.cast("void (*)(void *)", _address("PyErr_SetNone")),
        "leave": _ffi.cast("void (*)(int)", _address("PyGILState_Release")),
        "exception": _ffi.cast("void *", id(KeyboardInterrupt)),
    }


def _limits(limits: Limits, log_sink: int) -> dict[str, Any]:
    return {
        "timeout_ns": limits.timeout_ns,
        "max_output": limits.max_output,
        "max_log": limits.max_log,
        "files": int(limits.files),
        "deterministic": int(limits.deterministic),
        "log_sink": _ffi.cast("void *", log_sink),
        "strict_log": int(limits.log == "strict"),
    }


def _policy(policy: Policy | None) -> Any:
    if policy is None:
        return _ffi.NULL
    return _ffi.new(
        "struct udfvm_sqlite_policy *",
        {
            "kinds": int(policy.kinds),
            "allow_create": int(policy.allow_create),
            "max_source": policy.max_source,
            "limits": _limits(policy.limits, policy.log_sink),
            "load_timeout_ns": policy.load_timeout_ns,
            "statement_timeout_ns": policy.statement_timeout_ns,
            "idle_spin_us": policy.idle_spin_us,
        },
    )


def _runtime(runtime: Runtime) -> dict[str, Any]:
    return {
        "kind": int(runtime.kind),
        "pool_limit": runtime.pool_limit,
        "pool": _ffi.cast("void *", runtime.pool),
        "base": _ffi.cast("void *", runtime.base),
    }


def _function(function: Function, keep: list[object]) -> dict[str, Any]:
    def text(string: str) -> Any:
        encoded = _ffi.new("char[]", string.encode())
        keep.append(encoded)
        return encoded

    def fallback(encoded: bytes | None) -> dict[str, Any]:
        if encoded is None:
            return {}
        kept = _ffi.new("uint8_t[]", encoded)
        keep.append(kept)
        return {"fallback": kept, "fallback_length": len(encoded)}

    parameters = _ffi.new(
        "struct udfvm_sqlite_parameter[]",
        [
            {
                "name": text(parameter.name),
                "type": int(parameter.type),
                "nullable": int(parameter.nullable),
                "single": int(parameter.single),
                **fallback(parameter.fallback),
            }
            for parameter in function.parameters
        ],
    )
    keep.append(parameters)
    columns = _ffi.new(
        "struct udfvm_sqlite_column[]",
        [{"name": text(each.name), "type": int(each.type)} for each in function.columns],
    )
    keep.append(columns)
    return {
        "name": text(function.name),
        "pool": _ffi.cast("void *", function.pool),
        "image": _ffi.cast("void *", function.image),
        "parameters": parameters,
        "parameter_count": len(function.parameters),
        "result_type": int(function.result_type),
        "isolation": int(function.isolation),
        "flags": int(function.flags),
        "limits": {
            **_limits(function.limits, function.log_sink),
            "host_functions": _ffi.cast("void *", function.host_functions),
        },
        "wait_ns": function.wait_ns,
        "pool_limit": function.pool_limit,
        "role": int(function.role),
        "columns": columns,
        "column_count": len(function.columns),
        "kind": int(function.kind),
    }
