"""What every decorator takes: limits of a call, and what goes into the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from udfvm.errors import SignatureError
from udfvm.policy import Limits


class Options(TypedDict, total=False):
    """Keyword arguments of ``udfvm.table_function`` and ``udfvm.aggregate``; they mean what they mean for ``udfvm.udf``."""

    name: str | None
    memory: int | str
    timeout: float | None
    max_output: int | str | None
    max_log: int | str
    files: bool
    deterministic: bool
    packages: Iterable[str]
    build_timeout: float | None


_LIMITS = ("memory", "timeout", "max_output", "max_log", "files", "deterministic", "build_timeout")


def limits_of(target: object, options: Options) -> Limits:
    """The limits among the options. Raises SignatureError."""
    try:
        return Limits.parse(**{key: options[key] for key in _LIMITS if key in options})  # type: ignore[literal-required]
    except (TypeError, ValueError) as error:
        raise SignatureError(f"UDF {getattr(target, '__name__', '?')!r}: {error}") from error
