"""The C extension in Python: its location, declarations and constants.

``build_native/sqlite_declarations.py`` generates the declarations from ``extension.h``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from udfvm.sqlite import _declarations

PATH: Final = Path(__file__).with_name("udfvm_sqlite.so")
ENTRY_POINT: Final = "sqlite3_udfvmsqlite_init"

ffi: Final[Any] = _declarations.ffi


def member_type(structure: str, member: str) -> Any:
    """Returns the declared type of a member of ``struct STRUCTURE``."""
    return dict(ffi.typeof(f"struct {structure}").fields)[member].type


def _constants(name: str) -> Mapping[str, int]:
    """Returns the constants of ``enum udfvm_sqlite_NAME``, without their common prefix."""
    declared: dict[str, int] = ffi.typeof(f"enum udfvm_sqlite_{name}").relements
    return {key.removeprefix("UDFVM_SQLITE_"): value for key, value in declared.items()}


_ISOLATIONS: Final = _constants("isolation")
_FORMS: Final = _constants("form")
_FLAGS: Final = _constants("flag")
_LANGUAGES: Final = _constants("language")
_CAUSES: Final = _constants("cause")
_TIMES_FORMS: Final = _constants("times_form")
_KINDS: Final = _constants("kind")
_REFUSALS: Final = _constants("refusal_reason")


class Isolation(enum.IntEnum):
    """``enum udfvm_sqlite_isolation``."""

    STATEMENT = _ISOLATIONS["STATEMENT"]
    ROW = _ISOLATIONS["ROW"]


class Form(enum.IntEnum):
    """``enum udfvm_sqlite_form``."""

    SCALAR = _FORMS["SCALAR"]
    VECTORIZED = _FORMS["VECTORIZED"]
    TABLE = _FORMS["TABLE"]
    AGGREGATE = _FORMS["AGGREGATE"]


class Flag(enum.IntFlag):
    """``enum udfvm_sqlite_flag``."""

    DETERMINISTIC = _FLAGS["DETERMINISTIC"]
    IN_SCHEMA = _FLAGS["IN_SCHEMA"]
    JSON_RESULT = _FLAGS["JSON_RESULT"]
    INVERSE = _FLAGS["INVERSE"]
    WHOLE = _FLAGS["WHOLE"]
    VARIADIC = _FLAGS["VARIADIC"]


class TimesForm(enum.IntEnum):
    """``enum udfvm_sqlite_times_form``."""

    AS_DECLARED = _TIMES_FORMS["AS_DECLARED"]
    DATE_TEXT = _TIMES_FORMS["DATE_TEXT"]
    MOMENT_TEXT = _TIMES_FORMS["MOMENT_TEXT"]
    TIME_COUNT = _TIMES_FORMS["TIME_COUNT"]


class ParameterKind(enum.IntEnum):
    """``enum udfvm_sqlite_kind``."""

    PLAIN = _KINDS["PLAIN"]
    DATE = _KINDS["DATE"]
    MOMENT = _KINDS["MOMENT"]
    DECIMAL = _KINDS["DECIMAL"]
    JSON = _KINDS["JSON"]
    TIME = _KINDS["TIME"]
    DURATION = _KINDS["DURATION"]


class Language(enum.IntFlag):
    """``enum udfvm_sqlite_language``."""

    PYTHON = _LANGUAGES["PYTHON"]
    WASM = _LANGUAGES["WASM"]
    NATIVE = _LANGUAGES["NATIVE"]


class Cause(enum.IntEnum):
    """``enum udfvm_sqlite_cause``."""

    REPORTED = _CAUSES["REPORTED"]
    TIMEOUT = _CAUSES["TIMEOUT"]
    TYPE = _CAUSES["TYPE"]
    PROTOCOL = _CAUSES["PROTOCOL"]
    INPUT = _CAUSES["INPUT"]
    BUILD = _CAUSES["BUILD"]
    SIGNATURE = _CAUSES["SIGNATURE"]
    UNKNOWN = _CAUSES["UNKNOWN"]
    OTHER = _CAUSES["OTHER"]
    OPTION = _CAUSES["OPTION"]
    POLICY = _CAUSES["POLICY"]


class Refusal(enum.IntEnum):
    """``enum udfvm_sqlite_refusal_reason``."""

    NOT_REFUSED = _REFUSALS["NOT_REFUSED"]
    NAME_TAKEN = _REFUSALS["NAME_TAKEN"]
    NAME_UNKNOWN = _REFUSALS["NAME_UNKNOWN"]
    OTHER_TENANT = _REFUSALS["OTHER_TENANT"]
    NOT_FOR_SQL = _REFUSALS["NOT_FOR_SQL"]
