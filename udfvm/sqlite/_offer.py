"""Offers to the C extension. Its entry point takes one for the connection that loads it."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from udfvm.limits import Limits
from udfvm.sqlite import _failures
from udfvm.sqlite._extension import (
    PATH,
    Flag,
    Form,
    Isolation,
    Language,
    ParameterKind,
    TimesForm,
    ffi,
    member_type,
)
from udfvm.sqlite._refusals import refused
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import RowType


class OfferedTimes(NamedTuple):
    """``struct udfvm_sqlite_times``."""

    form: TimesForm
    zoned: bool
    units: int


AS_DECLARED: Final = OfferedTimes(TimesForm.AS_DECLARED, False, 0)


@dataclass(frozen=True)
class OfferedParameter:
    """``struct udfvm_sqlite_parameter``.

    ``fallback`` is the default, encoded as a value of a row; None if there is none. ``single``
    marks a float of 32 bits.
    """

    name: str
    type: RowType
    nullable: bool
    fallback: bytes | None = None
    single: bool = False
    kind: ParameterKind = ParameterKind.OF_TYPE
    times: OfferedTimes = AS_DECLARED


@dataclass(frozen=True)
class OfferedColumn:
    """``struct udfvm_sqlite_column``."""

    name: str
    type: RowType
    times: OfferedTimes = AS_DECLARED


class Renewal(NamedTuple):
    """``struct udfvm_sqlite_renewal``: addresses of the pool and image that run a function now."""

    pool: int
    image: int
    pool_limit: int


@dataclass(frozen=True)
class OfferedFunction:
    """``struct udfvm_sqlite_function``.

    ``pool``, ``image``, ``host_functions``, ``log_sink``, ``first_call`` and ``account`` (0: none)
    are addresses. ``owner`` is any object that must outlive the function. ``renew`` returns what
    runs it now, for calls with so many arguments.
    """

    name: str
    pool: int
    image: int
    parameters: tuple[OfferedParameter, ...]
    result_type: RowType
    isolation: Isolation
    flags: Flag
    limits: Limits
    wait_ns: int
    pool_limit: int
    form: Form
    columns: tuple[OfferedColumn, ...]
    language: Language
    owner: object
    host_functions: int = 0
    log_sink: int = 0
    first_call: int = 0
    account: int = 0
    renew: Callable[[int], Renewal] | None = None
    result_times: OfferedTimes = AS_DECLARED
    tenant: int = 0


@dataclass(frozen=True)
class OfferedRuntime:
    """``struct udfvm_sqlite_runtime``. ``pool`` and ``base`` are addresses. ``owner`` is any object
    that must outlive it.
    """

    language: Language
    pool: int
    base: int
    pool_limit: int
    owner: object


@dataclass(frozen=True)
class OfferedPolicy:
    """``struct udfvm_sqlite_policy``."""

    languages: Language
    allow_create: bool
    max_source: int
    limits: Limits
    load_timeout_ns: int
    statement_timeout_ns: int
    idle_spin_us: int
    log_sink: int
    tenant: int = 0


class _Owner(NamedTuple):
    """The objects that an offer keeps alive, and the renewal of each function by name."""

    objects: list[object]
    renewals: dict[str, Callable[[int], Renewal]]


# Owners that connections in C still use, by the number that the extension knows.
_owners: Final[dict[int, _Owner]] = {}
_owner_numbers: Final = itertools.count(1)
# A bound method of a built-in type: it works even while the interpreter ends, when the garbage
# collector closes connections.
_release: Final = ffi.callback(member_type("udfvm_sqlite_offer", "release"), _owners.__delitem__)
# For the same reason it must never be freed.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_release))


def _answer_renewal(number: int, name: Any, renewal: Any) -> int:
    """Answers how a function of an offer runs now; see ``struct udfvm_sqlite_offer``."""
    ask = _owners[number].renewals.get(ffi.string(name).decode())
    _failures.forget_renewal_failure()
    found = ask(renewal.arguments) if ask is not None else None
    before = tuple(int(ffi.cast("uintptr_t", each)) for each in (renewal.pool, renewal.image))
    if found is None or before == (found.pool, found.image):
        return 0
    renewal.pool = ffi.cast("void *", found.pool)
    renewal.image = ffi.cast("void *", found.image)
    renewal.pool_limit = found.pool_limit
    return 1


def _renewal_failed(_kind: object, exception: BaseException, traceback: Any) -> int:
    """Whatever keeps the image from being built ends the statement: Ctrl-C too, also ahead of the
    callback's first statement.
    """
    renewal = traceback.tb_frame.f_locals["renewal"]
    renewal.message = _failures.keep_renewal_failure(exception)
    return -1


_renew: Final = ffi.callback(
    member_type("udfvm_sqlite_offer", "renew"), _answer_renewal, onerror=_renewal_failed
)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_renew))  # as _release


def offer(
    load: Callable[[], None],
    *,
    functions: Sequence[OfferedFunction] = (),
    removed: Sequence[str] = (),
    replace: bool = True,
    policy: OfferedPolicy | None = None,
    runtimes: Sequence[OfferedRuntime] = (),
    to_apsw: bool = False,
) -> None:
    """Offers functions to a connection while ``load`` loads the extension into it on this thread.

    The connection removes the functions named in ``removed``. With ``policy`` None it keeps its
    policy. ``to_apsw`` says that the connection is apsw's, which raises a pending exception instead
    of the error that SQLite reports.

    Raises SignatureError for a name that is taken, if ``replace`` is False; UnknownUDFError for a
    name in ``removed`` that no function has; and SQLConnectionError if ``load`` fails otherwise.
    Nothing has changed then.
    """
    library: Any = ffi.dlopen(str(PATH))
    keep: list[object] = []
    number = next(_owner_numbers)
    _owners[number] = _Owner(
        [*(function.owner for function in functions), *(runtime.owner for runtime in runtimes)],
        {function.name: function.renew for function in functions if function.renew is not None},
    )
    refusal = ffi.new("struct udfvm_sqlite_refusal *")
    failed = _failures.failed_in_apsw if to_apsw else _failures.failed_elsewhere
    fields = {
        "size": ffi.sizeof("struct udfvm_sqlite_offer"),
        "function_size": ffi.sizeof("struct udfvm_sqlite_function"),
        "functions": ffi.new(
            "struct udfvm_sqlite_function[]", [_function(function, keep) for function in functions]
        ),
        "count": len(functions),
        "replace": int(replace),
        "removed": ffi.new("const char *[]", [_text(name, keep) for name in removed]),
        "removed_count": len(removed),
        "refusal": refusal,
        "release": _release,
        "owner": number,
        "interrupt": _interrupt(),
        "failures": _failure_functions(failed),
        "policy": _policy(policy),
        "runtimes": ffi.new(
            "struct udfvm_sqlite_runtime[]", [_runtime(runtime) for runtime in runtimes]
        ),
        "runtime_count": len(runtimes),
        "renew": _renew,
    }
    offered = ffi.new("struct udfvm_sqlite_offer *", fields)
    library.udfvm_sqlite_set_offer(offered)
    try:
        load()
    except Exception as error:
        caller = "unregister" if removed else "register"
        names = removed if removed else [each.name for each in functions]
        raise refused(
            refusal.reason, names[refusal.index] if names else "", caller, error
        ) from error
    finally:
        if library.udfvm_sqlite_set_offer(ffi.NULL):
            del _owners[number]


def _address(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _failure_functions(failed: Any) -> dict[str, Any]:
    """Python's part of a failed call: a pending exception whose cause is the error of the call."""
    return {
        "failed": failed,
        "pending": ffi.cast(
            member_type("udfvm_sqlite_failures", "pending"), _address("PyErr_Occurred")
        ),
        "restore": ffi.cast(
            member_type("udfvm_sqlite_failures", "restore"), _address("PyErr_Restore")
        ),
    }


def _interrupt() -> dict[str, Any]:
    """Python's part of an interrupted call: a pending KeyboardInterrupt, which takes precedence
    over apsw's own InterruptError.
    """
    return {
        "enter": ffi.cast(
            member_type("udfvm_sqlite_interrupt", "enter"), _address("PyGILState_Ensure")
        ),
        "raise": ffi.cast(
            member_type("udfvm_sqlite_interrupt", "raise"), _address("PyErr_SetNone")
        ),
        "leave": ffi.cast(
            member_type("udfvm_sqlite_interrupt", "leave"), _address("PyGILState_Release")
        ),
        "exception": ffi.cast("void *", id(KeyboardInterrupt)),
    }


def _limits(limits: Limits, log_sink: int) -> dict[str, Any]:
    return {
        "timeout_ns": limits.timeout_ns,
        "max_output": limits.max_output,
        "max_log": limits.max_log,
        "files": int(limits.files),
        "deterministic": int(limits.deterministic),
        "log_sink": ffi.cast("void *", log_sink),
        "strict_log": int(limits.log == "strict"),
    }


def _policy(policy: OfferedPolicy | None) -> Any:
    if policy is None:
        return ffi.NULL
    return ffi.new(
        "struct udfvm_sqlite_policy *",
        {
            "languages": int(policy.languages),
            "allow_create": int(policy.allow_create),
            "max_source": policy.max_source,
            "limits": _limits(policy.limits, policy.log_sink),
            "load_timeout_ns": policy.load_timeout_ns,
            "statement_timeout_ns": policy.statement_timeout_ns,
            "idle_spin_us": policy.idle_spin_us,
            "tenant": policy.tenant,
        },
    )


def _runtime(runtime: OfferedRuntime) -> dict[str, Any]:
    return {
        "language": int(runtime.language),
        "pool_limit": runtime.pool_limit,
        "pool": ffi.cast("void *", runtime.pool),
        "base": ffi.cast("void *", runtime.base),
    }


def _times(times: OfferedTimes) -> dict[str, int]:
    return {"form": int(times.form), "zoned": int(times.zoned), "units": times.units}


def _text(string: str, keep: list[object]) -> Any:
    encoded = ffi.new("char[]", string.encode())
    keep.append(encoded)
    return encoded


def _function(function: OfferedFunction, keep: list[object]) -> dict[str, Any]:
    def fallback(encoded: bytes | None) -> dict[str, Any]:
        if encoded is None:
            return {}
        kept = ffi.new("uint8_t[]", encoded)
        keep.append(kept)
        return {"fallback": kept, "fallback_length": len(encoded)}

    parameters = ffi.new(
        "struct udfvm_sqlite_parameter[]",
        [
            {
                "name": _text(parameter.name, keep),
                "type": int(parameter.type),
                "nullable": int(parameter.nullable),
                "single": int(parameter.single),
                "kind": int(parameter.kind),
                "times": _times(parameter.times),
                **fallback(parameter.fallback),
            }
            for parameter in function.parameters
        ],
    )
    keep.append(parameters)
    columns = ffi.new(
        "struct udfvm_sqlite_column[]",
        [
            {"name": _text(each.name, keep), "type": int(each.type), "times": _times(each.times)}
            for each in function.columns
        ],
    )
    keep.append(columns)
    return {
        "name": _text(function.name, keep),
        "pool": ffi.cast("void *", function.pool),
        "image": ffi.cast("void *", function.image),
        "parameters": parameters,
        "parameter_count": len(function.parameters),
        "result_type": int(function.result_type),
        "isolation": int(function.isolation),
        "flags": int(function.flags),
        "limits": {
            **_limits(function.limits, function.log_sink),
            "host_functions": ffi.cast("void *", function.host_functions),
            "first_call_ns": ffi.cast("uint64_t *", function.first_call),
            "account": ffi.cast("void *", function.account),
        },
        "wait_ns": function.wait_ns,
        "pool_limit": function.pool_limit,
        "form": int(function.form),
        "columns": columns,
        "column_count": len(function.columns),
        "language": int(function.language),
        "result_times": _times(function.result_times),
        "tenant": function.tenant,
    }
