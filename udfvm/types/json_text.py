"""JSON text that represents dictionaries and lists, and lists and structs in the rows of SQL.

JSON has no bytes, dates, times and decimals: bytes are hexadecimal digits, as in SQLite's hex() and
unhex(), decimals their digits, and the others are ISO 8601.

The build copies this for guests, and ``temporal``, so it imports nothing else of udfvm.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, Final

from udfvm.types.temporal import text_from_duration


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise ValueError(f"an object has the key {twice!r} twice")
    return made


_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
_STRICT: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_with_unique_keys)


def from_json(text: str, *, unique_keys: bool = False) -> Any:
    """Parses JSON text. Raises ValueError, with the position of the error, also for NaN and
    Infinity, and with ``unique_keys`` for an object that has a key twice.
    """
    try:
        return (_STRICT if unique_keys else _DECODER).decode(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def check_keys(value: Any) -> None:
    """Raises TypeError for a key that is not text: ``json`` would write 1 and "1" as one key."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r:.100} is {type(key).__name__}, not text")
            if type(each) not in _ATOMS:
                check_keys(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            if type(each) not in _ATOMS:
                check_keys(each)


def stand_in(value: Any) -> str:
    """Returns the text for bytes, a date or a time, a duration or a decimal."""
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, datetime.timedelta):
        return text_from_duration(value)
    return str(value.isoformat() if hasattr(value, "isoformat") else f"{value:f}")


def to_json(value: Any, default: Callable[[Any], Any] = stand_in) -> str:
    """Returns the shortest JSON text of a value. ``default`` converts values that JSON cannot
    represent. Raises TypeError, ValueError or RecursionError.
    """
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default
    )
