"""JSON of functions: results that are dictionaries or lists, and arguments that are JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from _udfvm_intervals import is_interval, text_from_interval
from _udfvm_json_text import check_keys, from_json, stand_in, to_json

_ATOMS = frozenset({str, int, float, bool, type(None)})


def from_json_text(text: str) -> Any:
    """Parses the JSON text of an argument. Raises ValueError, with the position of the error and
    without frames of ``json``; also for a key that is there twice: a dictionary would lose one.
    """
    try:
        return from_json(text, unique_keys=True)
    except ValueError as error:
        wrong = ValueError(f"not valid JSON: {error}")
        vars(wrong)["of_argument"] = f"is {wrong}"
        raise wrong from None


def to_json_text(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Returns the JSON text of a result. Raises TypeError or ValueError, without frames of
    ``json``.
    """
    if default is None:
        value, default = _record_as_dict(value), _as_json_value
    try:
        check_keys(value)
        if "pyarrow" in sys.modules and _has_intervals(value):
            value = _with_texts(value)
        return to_json(value, default)
    except (TypeError, ValueError, RecursionError) as error:
        class_ = TypeError if isinstance(error, TypeError) else ValueError
        place = "" if isinstance(error, RecursionError) else _place(value, default)
        raise class_(
            f"the function returned a value that JSON cannot represent: {place}{error}"
        ) from None


def _has_intervals(value: Any) -> bool:
    """Whether a value is or holds intervals, which are tuples: ``json`` would write lists."""
    if isinstance(value, dict):
        value = value.values()
    elif is_interval(value) or not isinstance(value, (list, tuple)):
        return is_interval(value)
    return any(type(each) not in _ATOMS and _has_intervals(each) for each in value)


def _with_texts(value: Any) -> Any:
    """Returns a value with texts for the intervals that it holds."""
    if is_interval(value):
        return text_from_interval(value)
    if isinstance(value, dict):
        return {key: _with_texts(each) for key, each in value.items()}
    return [_with_texts(each) for each in value] if isinstance(value, (list, tuple)) else value


def _place(value: Any, default: Callable[[Any], Any]) -> str:
    """Returns the path to the first value that fails, such as ``in ['a'][0]: ``."""
    path = ""
    while isinstance(value, (dict, list, tuple)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        failing = next((part for part in parts if not _is_json(part[1], default)), None)
        if failing is None:
            break
        key, value = failing
        path += f"[{key!r:.100}]"
    return path and f"in {path}: "


def _is_json(value: Any, default: Callable[[Any], Any]) -> bool:
    try:
        check_keys(value)
        to_json(value, default)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _record_as_dict(value: Any) -> Any:
    """Returns a named tuple as a dictionary; ``json`` would write a list."""
    return value._asdict() if isinstance(value, tuple) and hasattr(value, "_asdict") else value


def _as_json_value(value: Any) -> Any:
    """Returns what represents a value that ``json`` does not know."""
    if hasattr(type(value), "__dataclass_fields__"):
        fields = sys.modules["dataclasses"].asdict(value)
        check_keys(fields)
        return fields
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        if value.dtype.kind in "biufUSO":
            plain = value.tolist()
            check_keys(plain)
            return plain
    elif isinstance(value, bytes) or _is_time(value) or _is_decimal(value):
        return stand_in(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _is_time(value: Any) -> bool:
    datetime = sys.modules.get("datetime")
    return datetime is not None and isinstance(
        value, (datetime.date, datetime.time, datetime.timedelta)
    )


def _is_decimal(value: Any) -> bool:
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal) and value.is_finite()
