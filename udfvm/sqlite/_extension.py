"""The C extension in Python: its location, declarations and constants.

``build_native/sqlite_declarations.py`` generates the declarations from ``extension.h``.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Final

from udfvm.sqlite import _declarations

PATH: Final = Path(__file__).with_name("udfvm_sqlite.so")
ENTRY_POINT: Final = "sqlite3_udfvmsqlite_init"

ffi: Final[Any] = _declarations.ffi


def member_type(structure: str, member: str) -> Any:
    """Returns the declared type of a member of ``struct STRUCTURE``."""
    return dict(ffi.typeof(f"struct {structure}").fields)[member].type


def _value_of(name: str, start: int, count: int, last_values: list[Any]) -> Any:
    """Returns the value of a constant of ``extension.h``, which has one name space for all."""
    return ffi.integer_const(f"UDFVM_SQLITE_{name}")


class _Constants(enum.IntEnum):
    _generate_next_value_ = staticmethod(_value_of)


class _Flags(enum.IntFlag):
    _generate_next_value_ = staticmethod(_value_of)


class Isolation(_Constants):
    """``enum udfvm_sqlite_isolation``."""

    STATEMENT = enum.auto()
    ROW = enum.auto()


class Form(_Constants):
    """``enum udfvm_sqlite_form``."""

    SCALAR = enum.auto()
    VECTORIZED = enum.auto()
    TABLE = enum.auto()
    AGGREGATE = enum.auto()


class Flag(_Flags):
    """``enum udfvm_sqlite_flag``."""

    DETERMINISTIC = enum.auto()
    IN_SCHEMA = enum.auto()
    JSON_RESULT = enum.auto()
    INVERSE = enum.auto()
    WHOLE = enum.auto()
    VARIADIC = enum.auto()


class TimesForm(_Constants):
    """``enum udfvm_sqlite_times_form``."""

    AS_DECLARED = enum.auto()
    DATE_TEXT = enum.auto()
    MOMENT_TEXT = enum.auto()
    TIME_COUNT = enum.auto()


class ParameterKind(_Constants):
    """``enum udfvm_sqlite_kind``."""

    OF_TYPE = enum.auto()
    DATE = enum.auto()
    MOMENT = enum.auto()
    DECIMAL = enum.auto()
    JSON = enum.auto()
    TIME = enum.auto()
    DURATION = enum.auto()


class Language(_Flags):
    """``enum udfvm_sqlite_language``."""

    PYTHON = enum.auto()
    WASM = enum.auto()
    NATIVE = enum.auto()


class Cause(_Constants):
    """``enum udfvm_sqlite_cause``."""

    REPORTED = enum.auto()
    TIMEOUT = enum.auto()
    TYPE = enum.auto()
    PROTOCOL = enum.auto()
    INPUT = enum.auto()
    BUILD = enum.auto()
    SIGNATURE = enum.auto()
    UNKNOWN = enum.auto()
    OTHER = enum.auto()
    OPTION = enum.auto()
    POLICY = enum.auto()


class Refusal(_Constants):
    """``enum udfvm_sqlite_refusal_reason``."""

    NOT_REFUSED = enum.auto()
    NAME_TAKEN = enum.auto()
    NAME_UNKNOWN = enum.auto()
    OTHER_TENANT = enum.auto()
    NOT_FOR_SQL = enum.auto()
