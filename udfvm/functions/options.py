"""What every decorator takes: limits of a call, and what goes into the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from udfvm.call.output import Log
from udfvm.call.pool import Pool
from udfvm.functions.keywords import unknown_option
from udfvm.limits import Limits


class Options(TypedDict, total=False):
    """Keyword arguments of ``udfvm.table_function`` and ``udfvm.aggregate``; they mean what they
    mean for ``udfvm.udf``.
    """

    name: str | None
    memory: int | str
    timeout: float | None
    max_output: int | str | None
    max_log: int | str
    log: Log
    files: bool
    deterministic: bool
    packages: Iterable[str]
    pool: Pool | None
    host_functions: Iterable[Callable[..., Any]]
    host_calls: int
    build_timeout: float | None


_LIMITS = (
    "memory",
    "timeout",
    "max_output",
    "max_log",
    "log",
    "files",
    "deterministic",
    "host_calls",
    "build_timeout",
)


def limits_of(target: object, options: Options) -> Limits:
    """The limits among the options. Raises SignatureError, for options that do not exist, too."""
    name = getattr(target, "__name__", "?")
    unknown = [option for option in options if option not in Options.__annotations__]
    if unknown:
        raise unknown_option(f"UDF {name!r}", unknown[0], Options.__annotations__)
    return Limits.of(name, **{key: options[key] for key in _LIMITS if key in options})  # type: ignore[literal-required]
